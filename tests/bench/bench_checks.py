"""What the checks cost: run `PYTHONPATH=tests python tests/bench/bench_checks.py` by hand.

Microseconds for one snapshot through all checks of a pack, bytes of state that they keep after ten
minutes and after an hour (constant memory: the same), milliseconds for one diagnosis, and what a
restart costs: bytes of the saved state of a pack, milliseconds to save it and to put it back.
"""

import gc
import json
import random
import time
import tracemalloc
from collections.abc import Iterator

from ninebot_bms import BMS, Snapshot
from packtap.analysis.diagnosis import diagnose
from packtap.analysis.evidence import Evidence
from packtap.analysis.occasion import Occasion
from packtap.analysis.saved_state import restore, save
from packtap.config import PackConfig
from packtap.model import Value
from packtap.tap import PackChecks

POLL_S = 0.5


def ride(seconds: float) -> Iterator[Snapshot]:
    """Yield what a sound pack reports while it is ridden, cells in every second snapshot."""
    chance = random.Random(3)
    current_a = 5.0
    times: dict[str, float | None] = {}
    values: dict[str, Value] = {}
    for step in range(round(seconds / POLL_S)):
        t = step * POLL_S
        current_a += chance.uniform(-3, 3) - 0.1 * (current_a - 8)
        state: dict[str, Value] = {
            "status": 0x0023,
            "current_a": round(current_a, 2),
            "voltage_v": round(38.0 - current_a * 0.1, 2),
            "soc_pct": 60,
            "remaining_capacity_mah": 7000 - step // 20,
            "temperature_1_c": 24,
            "temperature_2_c": 25,
        }
        if step % 2:
            cell_mv = 3800 - 10 * current_a
            state["cell_voltages_mv"] = tuple(
                round(cell_mv) + chance.randint(-4, 4) for _ in range(10)
            )
        values |= state
        times |= dict.fromkeys(state, t)
        raws = {"temperature_1_c": 44, "temperature_2_c": 45}
        yield Snapshot(t, BMS, dict(values), dict(times), frozenset(state), 10, (), raws)


def fed(story: list[Snapshot]) -> PackChecks:
    """Return checks that have seen all of it."""
    checks = PackChecks(PackConfig(), Occasion(), lambda: 0)
    for snapshot in story:
        list(checks.update(snapshot))
    return checks


def restart(checks: PackChecks, minutes: int) -> None:
    """Save and put back, as the agent does every 10 s and at its start."""
    start = time.perf_counter()
    text = json.dumps(save(checks), allow_nan=False, separators=(",", ":"))
    saved = time.perf_counter()
    fresh = PackChecks(PackConfig(), Occasion(), lambda: 0)
    restore(fresh, json.loads(text))
    back = time.perf_counter()
    print(
        f"{len(text):8d} bytes of a saved state after {minutes} minutes, "
        f"{1e3 * (saved - start):.1f} ms to save, {1e3 * (back - saved):.1f} ms to put back"
    )


def main() -> None:
    """Measure and print."""
    story = list(ride(1200))
    start = time.perf_counter()
    checks = fed(story)
    print(f"{1e6 * (time.perf_counter() - start) / len(story):8.0f} us a snapshot, all checks")
    for minutes in (10, 60):
        story = list(ride(60 * minutes))
        tracemalloc.start()
        checks = fed(story)
        gc.collect()  # the interpreter's own free lists are no state
        print(f"{tracemalloc.get_traced_memory()[0]:8d} bytes of state after {minutes} minutes")
        tracemalloc.stop()
        restart(checks, minutes)
    evidence = Evidence(judged=set(checks.judged))
    start = time.perf_counter()
    diagnose(evidence)
    print(f"{1e3 * (time.perf_counter() - start):8.1f} ms a diagnosis")


if __name__ == "__main__":
    main()
