"""Inside the container: what systemd does with packtap's units, one line of results.jsonl a check.

The first boot ends without a goodbye, in the middle of the work; the second looks at what is left.
"""

import json
import os
import signal
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

HERE: Final = Path("/opt/boot")
AGENTS: Final = ("packtap-agent@bay-1", "packtap-agent@bay-2")
UNITS: Final = (*AGENTS, "packtap-ingest", "packtap-web")
STORES: Final = tuple(Path(f"/var/lib/packtap/bay-{n}/packtap.db") for n in (1, 2))
INGESTED: Final = Path("/var/lib/packtap/ingest/packtap.db")
BOOT: Final = int((HERE / "boot").read_text())


def told(check: str, is_good: object, figure: object) -> None:
    """Write one row of the table to the disk."""
    result = "good" if is_good else "BAD"
    row = {"boot": BOOT, "check": check, "result": result, "figure": str(figure)}
    with (HERE / "results.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
        file.flush()
        os.fsync(file.fileno())


def run(*words: str) -> str:
    """Return what a command prints, on both its outputs."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def show(unit: str, name: str) -> str:
    """Return a property of a unit."""
    return run("systemctl", "show", "--value", "-p", name, unit)


def restarts(unit: str) -> int:
    """Return how often systemd has restarted a unit."""
    return int(show(unit, "NRestarts"))


def pid(unit: str) -> int:
    """Return its main process."""
    return int(show(unit, "MainPID"))


def is_active(unit: str) -> bool:
    """Return whether it has said that it works."""
    return show(unit, "ActiveState") == "active"


def seconds_until(probe: Callable[[], object], most_s: float = 120.0) -> float | None:
    """Return after how many seconds something was so; None if it never was."""
    began = time.monotonic()
    while time.monotonic() - began < most_s:
        if probe():
            return round(time.monotonic() - began, 1)
        time.sleep(0.1)
    return None


def readings(store: Path) -> set[tuple[str, str, int, int]]:
    """Return every readings message of a store: its store id, pack, number and readings in it."""
    if not store.exists():
        return set()
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=20)) as conn:
        rows = conn.execute(
            "SELECT s.store, o.pack, m.seq, m.times FROM message m JOIN origin o ON o.id = m.origin"
            " JOIN source s ON s.id = m.source WHERE m.kind = 'readings'"
        ).fetchall()
    return {(store_id, pack, seq, len(json.loads(times))) for store_id, pack, seq, times in rows}


def journal(unit: str, *more: str) -> list[dict[str, Any]]:
    """Return what the unit's own process has said in this boot."""
    out = run("journalctl", "-u", unit, "-b", "-o", "json", *more)
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("_TRANSPORT") == "stdout"]


@contextmanager
def stopped(*units: str) -> Iterator[None]:
    """Stop units for a while."""
    run("systemctl", "stop", *units)
    yield
    run("systemctl", "start", *units)


def first_boot() -> None:
    """Everything until the power goes."""
    starts()
    places()
    survives_what_is_wrong_outside_and_hangs()
    survives_crashes()
    stops_at_once()
    speaks_to_the_journal()
    reads_what_has_stopped()
    doctor()
    power_off()


def starts() -> None:
    """Check that every unit becomes ready, and what systemd thinks of it."""
    # Not before: guest.service is itself one of the units that this boot starts.
    run("systemctl", "start", "--no-block", "scooter@bay-1", "scooter@bay-2")
    for unit in UNITS:
        waited = seconds_until(lambda unit=unit: is_active(unit))  # type: ignore[misc]
        began = int(show(unit, "InactiveExitTimestampMonotonic"))
        took = (int(show(unit, "ActiveEnterTimestampMonotonic")) - began) / 1e6
        told(f"{unit} says READY=1", waited is not None, f"after {took:.1f} s")
    files = [f"/etc/systemd/system/{name}.service" for name in (
        "packtap-agent@", "packtap-ingest", "packtap-ingest@", "packtap-web")]  # fmt: skip
    said = run("systemd-analyze", "verify", *files)
    told("systemd-analyze verify prints nothing", not said, said[:200] or "nothing")
    for unit in UNITS:
        last = run("systemd-analyze", "security", "--no-pager", f"{unit}.service").splitlines()[-1]
        figure = float(last.partition(": ")[2].split()[0])
        told(f"exposure of {unit}", figure <= 1.5, figure)
    for store in (*STORES, INGESTED):
        waited = seconds_until(lambda store=store: len(readings(store)) >= 5)  # type: ignore[misc]
        told(f"readings reach {store}", waited is not None, f"{len(readings(store))} batches")
    for unit in AGENTS:
        status = seconds_until(lambda unit=unit: "broker connected" in show(unit, "StatusText"))  # type: ignore[misc]
        told(f"STATUS of {unit}", status is not None, show(unit, "StatusText"))


def places() -> None:
    """Check user, groups, folders and secrets."""
    user = run("id", "packtap")
    told("sysusers made the user", "dialout" in user, user)
    for unit in UNITS:
        owner = Path(f"/proc/{pid(unit)}").owner()
        told(f"{unit} runs as", owner == "packtap", owner)
    for folder in ("/var/lib/packtap", "/var/lib/packtap/bay-1", "/run/packtap"):
        found = run("stat", "-c", "%U %a", folder)
        told(f"owner and mode of {folder}", found == "packtap 750", found)
    for unit, may in ((AGENTS[0], False), ("packtap-ingest", True)):
        asked = int(Path(f"/run/packtap/adjtimex-{unit}").read_text()) >= 0
        told(f"{unit} asks the kernel about its clock", asked == may, "may" if asked else "may not")
    secret = Path("/etc/credstore/packtap.mqtt-password")
    environ = [Path(f"/proc/{pid(unit)}/{name}").read_bytes() for unit in UNITS
               for name in ("environ", "cmdline")]  # fmt: skip
    hidden = not any(b"secret of" in each for each in environ)
    told(
        "password from LoadCredential, in no environment",
        hidden,
        run("stat", "-c", "%U %a", str(secret)),
    )
    rules = run("udevadm", "test", "/sys/class/tty/ttyS0")
    wrong = [line for line in rules.splitlines() if "61-packtap" in line and "nvalid" in line]
    told("udev reads the rules", "61-packtap.rules" in rules and not wrong, wrong or "no complaint")


def survives_what_is_wrong_outside_and_hangs() -> None:
    """Hang agent, ingest and page for good; meanwhile bay-2 has no broker and no scooter."""
    hung = (AGENTS[0], "packtap-ingest", "packtap-web")
    before = {unit: (restarts(unit), pid(unit)) for unit in UNITS}
    run("systemctl", "stop", "mosquitto", "scooter@bay-2")
    began = time.monotonic()
    for unit in hung:
        os.kill(pid(unit), signal.SIGSTOP)
    for unit in (AGENTS[0], "packtap-web"):
        seconds_until(lambda unit=unit: restarts(unit) > before[unit][0] and is_active(unit), 180)  # type: ignore[misc]
        took = time.monotonic() - began
        good = restarts(unit) == before[unit][0] + 1 and is_active(unit)
        told(f"{unit} hangs (kill -STOP): killed and works again", good, f"after {took:.0f} s")
    seconds_until(lambda: restarts("packtap-ingest") > before["packtap-ingest"][0], 60)
    # As long as the watchdog's time once more: nothing that is wrong outside may starve it.
    time.sleep(max(0.0, began + 90 - time.monotonic()))
    went_on = (restarts(AGENTS[1]), pid(AGENTS[1])) == before[AGENTS[1]]
    told("no broker and no adapter for 90 s: not restarted", went_on, show(AGENTS[1], "StatusText"))
    starting = show("packtap-ingest", "ActiveState"), restarts("packtap-ingest")
    told("ingest hangs while there is no broker: killed, waits for it",
         starting == ("activating", before["packtap-ingest"][0] + 1), starting)  # fmt: skip
    run("systemctl", "start", "mosquitto", "scooter@bay-2")
    waited = seconds_until(lambda: is_active("packtap-ingest"))
    told("broker comes back: ingest is subscribed", waited is not None, f"after {waited} s")


def survives_crashes() -> None:
    """Kill each in its own way."""
    for unit, number in zip(UNITS, (signal.SIGSEGV, signal.SIGKILL) * 2, strict=True):
        before, victim = restarts(unit), pid(unit)
        os.kill(victim, number)
        waited = seconds_until(lambda: restarts(unit) > before and is_active(unit))  # noqa: B023
        told(f"{unit} gets {number.name}: works again", waited is not None, f"after {waited} s")


def stops_at_once() -> None:
    """Stop each while all is well, and the agent while broker and adapter are away."""
    for unit in UNITS:
        told_stop(unit, "all is well")
        run("systemctl", "start", unit)
    seconds_until(lambda: len(journal(AGENTS[1])) > 3, 20)
    run("systemctl", "kill", "-s", "STOP", "mosquitto")  # takes connections, says nothing
    told_stop(AGENTS[0], "the broker hangs")
    run("systemctl", "kill", "-s", "CONT", "mosquitto")
    with stopped("mosquitto", "scooter@bay-2"):
        time.sleep(3)
        told_stop(AGENTS[1], "no broker, no adapter")
    run("systemctl", "start", *AGENTS)


def told_stop(unit: str, while_: str) -> None:
    """Stop a unit and say how long that took and how it ended."""
    began = time.monotonic()
    run("systemctl", "stop", unit)
    took, result = time.monotonic() - began, show(unit, "Result")
    told(
        f"systemctl stop {unit}, {while_}",
        took < 5 and result == "success",
        f"{took:.1f} s, {result}",
    )


def speaks_to_the_journal() -> None:
    """Check priorities, and that nothing is there twice."""
    said = journal(AGENTS[1])
    by_priority = {number: sum(line["PRIORITY"] == number for line in said) for number in "3467"}
    warned = journal(AGENTS[1], "-p", "warning")
    heads = [line for line in said if str(line["MESSAGE"]).startswith("<")]
    good = by_priority["6"] and warned and len(warned) < len(said) and not heads
    told("journalctl -p warning finds warnings only", good, f"lines by priority: {by_priority}")
    texts = [str(line["MESSAGE"]) for unit in UNITS for line in journal(unit)]
    traces = [text for text in texts if "Traceback" in text]
    told("no traceback in the journal", not traces, f"{len(texts)} lines")
    own = [text for text in texts if text[:4].isdigit() or text.startswith(("INFO ", "WARNING "))]
    told("no time or level of our own in a line", not own, own[:1] or "none")


def reads_what_has_stopped() -> None:
    """The page shows the packs of an agent that has stopped."""

    def shown() -> int:
        with urllib.request.urlopen("http://127.0.0.1:8090/api/packs", timeout=10) as answer:
            return len(json.load(answer)["packs"])

    running = shown()
    with stopped(AGENTS[0]):
        told(
            "page shows the packs of a stopped agent too",
            shown() >= running > 0,
            f"{running} packs",
        )


def doctor() -> None:
    """Let the doctor look at a bus whose agent has stopped, with the rights of the agent."""
    before = len(readings(INGESTED))
    seconds_until(lambda: len(readings(INGESTED)) > before + 2)  # ingest has found its broker again
    with stopped(AGENTS[1]):
        words = ["systemd-run", "-q", "--pipe", "--wait", "-p", "User=packtap"]
        words += ["-p", "LoadCredential=mqtt-password:packtap.mqtt-password"]
        words += ["-p", "LoadCredential=device.key:packtap.device.key"]
        words += ["/opt/packtap/bin/packtap", "doctor", "--config", "/etc/packtap/agent-bay-2.toml"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        first = (done.stdout + done.stderr).strip().partition("\n\n")[0].replace("\n", " ")
        told(
            "packtap doctor inside", done.returncode == 0, f"exit {done.returncode}: {first[:200]}"
        )
        (HERE / "doctor.txt").write_text(done.stdout + done.stderr)


def power_off() -> None:
    """Note what is committed, and switch off in the middle of the work."""
    for store in STORES:
        seconds_until(lambda store=store: readings(store))  # type: ignore[misc]
    run("systemctl", "stop", "--no-block", "packtap-ingest")
    seconds_until(lambda: not is_active("packtap-ingest"), 10)
    time.sleep(5)  # something must wait for delivery
    noted = [sorted(readings(store)) for store in STORES]
    (HERE / "noted.json").write_text(json.dumps(noted))
    os.sync()
    run("systemctl", "poweroff", "--force", "--force")


def second_boot() -> None:
    """What is left, and that the work goes on."""
    noted = [{tuple(row) for row in rows} for rows in json.loads((HERE / "noted.json").read_text())]
    for store in STORES:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=20)) as conn:
            finding = conn.execute("PRAGMA quick_check").fetchone()[0]
        aside = list(store.parent.glob("*.damaged*"))
        told(f"{store} after the power-off", finding == "ok" and not aside, finding)
    run("systemctl", "start", "--no-block", "scooter@bay-1", "scooter@bay-2")
    for unit in UNITS:
        waited = seconds_until(lambda unit=unit: is_active(unit))  # type: ignore[misc]
        told(f"{unit} starts again by itself", waited is not None, f"after {waited} s")
    for store, rows in zip(STORES, noted, strict=True):
        kept = rows & readings(store)
        told(f"{store} still has what was committed", kept == rows, f"{len(kept)} of {len(rows)}")
    everything = noted[0] | noted[1]
    seconds_until(lambda: everything <= readings(INGESTED))
    arrived = everything & readings(INGESTED)
    told("all of it has reached the store of ingest", arrived == everything,
         f"{len(arrived)} of {len(everything)} batches")  # fmt: skip
    for store, rows in zip(STORES, noted, strict=True):
        waited = seconds_until(lambda: len(readings(store)) > len(rows) + 3)  # noqa: B023
        told(f"{store} goes on", waited is not None, f"{len(readings(store)) - len(rows)} more")
    told("end of the second boot", True, "")
    run("systemctl", "poweroff", "--force", "--force")


if __name__ == "__main__":
    try:
        first_boot() if BOOT == 1 else second_boot()
    except Exception as error:
        told("the checks themselves", False, repr(error))
        run("systemctl", "poweroff", "--force", "--force")
        raise
