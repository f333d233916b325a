"""A day of readings over a slow link: run `python tests/bench/bench_drain.py` by hand.

8640 messages of ten readings (1 Hz for 24 hours, simulated), an outbox that has waited for a day,
300 ms of delay each way between a device and a real mosquitto as deployed. Prints how long the
outbox takes to empty, what went over the air, and by how much the process grew.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent.drafts import readings
from agent.subscriber import subscribe
from packtap.store import Draft, Store
from system.faults import Fault, start_fault_proxy
from system.servers import start_mosquitto

MESSAGES = 8640
SAMPLES = 10
LATENCY_S = 0.3
_UPLINK = Path(__file__).parents[1] / "agent" / "uplink_process.py"


def fill(path: Path) -> None:
    """Queue a day of readings, ten cells in each."""
    with Store.open(path) as store:
        for start in range(0, MESSAGES, 240):
            store.commit([_batch(number) for number in range(start, start + 240)])


def _batch(number: int) -> Draft:
    times = [1000 * (number * SAMPLES + index + 1) for index in range(SAMPLES)]
    noise = [(t * 7919) % 97 for t in times]
    return readings(
        *times,
        columns={
            "voltage_v": [36.0 + each / 100 for each in noise],
            "current_a": [each / 10 for each in noise],
            "soc_pct": [each % 100 for each in noise],
            "temperature_1_c": [25] * SAMPLES,
            "cell_voltages_mv": [[3600 + (each * k) % 23 for k in range(1, 11)] for each in noise],
        },
    )


def main() -> None:
    """Drain it and print."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "packtap.db"
        fill(path)
        with (
            start_mosquitto(Path(folder)) as broker,
            start_fault_proxy(broker.port) as proxy,
            subscribe(broker.port) as witness,
        ):
            proxy.latency_s = LATENCY_S
            proxy.set(Fault.REFUSE)
            process = subprocess.Popen(
                [sys.executable, str(_UPLINK), str(path), str(proxy.port), "boot-b"],
                env={**os.environ, "PYTHONPATH": str(_UPLINK.parents[1])},
                stderr=subprocess.DEVNULL,
            )
            try:
                time.sleep(3)  # it is started, and has tried to connect
                before_kib = _peak_kib(process.pid)
                proxy.set(Fault.PASS)
                took_s = _drain(path)
                grown_kib = _peak_kib(process.pid) - before_kib
            finally:
                process.terminate()
                process.wait(30)
            arrived = len(set(witness.seqs()))
    print(
        f"{arrived} of {MESSAGES} messages ({MESSAGES * SAMPLES} readings) in {took_s:.1f} s over "
        f"{LATENCY_S * 1000:.0f} ms each way; the sender grew by {grown_kib / 1024:.1f} MiB"
    )


def _drain(path: Path) -> float:
    began = time.monotonic()
    with Store.open_read_only(path) as store:
        while store.depth().count and time.monotonic() - began < 600:
            time.sleep(0.1)
    return time.monotonic() - began


def _peak_kib(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


if __name__ == "__main__":
    main()
