"""The fault bench: a table of faults, what was lost under each, and how long recovery took.

    make faults                        all rows, some twenty minutes, into tests/FAULTS.md
    make faults ONLY=agent,noise       rows whose name has one of these words, to the terminal
    make faults ROUNDS=3 SEED=7        so many rounds in each row, another seed

Each row is a chain of its own (`chain_bench`), JOBS of them at a time. Exit code 1 if anything was
lost, duplicated, wrong in time or altered, or did not recover; the row then says what, and its
files are kept.
"""

import argparse
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

if __name__ == "__main__":  # as pytest does by its configuration
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from system.anchors import anchor_table
from system.chain_bench import Fault, Place, Result, running_bench
from system.chain_fault_rows import FAULTS
from system.chain_faults import Outcome, run_influx, run_sqlite
from system.chain_faults_table import table

HEAD: Final = (
    *("fault", "rounds", "readings committed", "stored", "lost", "duplicated", "wrong time"),
    *("altered", "recovery, median s", "max s"),
)
#: Faults on faults: `chain_faults`, into either store.
OVERLAPPING: Final = {
    "agent, ingest, broker, store down, several at once": run_influx,
    "the same, into the embedded store": run_sqlite,
}
_OVERLAPPING_ROUNDS: Final = 25
#: Files of the small file system: stores of a row, and room to be filled.
_DISK_MB: Final = 48
_GUESS_S: Final = 4.5  #: of a round, beside what it lasts
_SHOWN: Final = 5  #: samples named for each kind of damage
_GOAL_S: Final = 10.0
#: Columns that must say 0.
_DAMAGE: Final = ("lost", "duplicated", "wrong_time", "altered")


_PAGE: Final = """\
# What breaks, and what is lost

Made by {what}. The emulated scooter is simulated; everything else is real: mosquitto, InfluxDB
1.6 behind a shim for the v2 write address, the processes of agent, ingest and web,
pseudo-terminals as serial adapters, a TCP proxy as the network.

A round: the scooter rides, at a random moment something breaks, stays so for a random while, is
mended. *Committed* is what the agent's SQLite file holds (or was seen to hold before a kill);
*stored* is what InfluxDB answers. Both are compared reading by reading with all values and cells,
and event by event. *Wrong time* also counts what is committed and stored alike, but carries a
value that was not on the wire at that time, by the clock of the bench, which nobody moves.
*Recovery* runs from the moment at which mending begins (a killed process is only started then)
until all that was committed before, and a reading that was taken later, are in the store; of a
killed web process until the page shows one. The agent commits once a second here; by default
every ten (`flush_s`).

What the rows do stands in `system/chain_fault_rows.py`. Clocks are moved by libfaketime; what the
kernel says of its synchronisation is replaced by a file, and by nothing else. The last two rows
break several parts at once; their time is that of the last delivery, after the ride. A broker
that refuses a connection for good, or resets it once made, is tried again up to 30 s apart: each
such attempt costs a TLS handshake. Not here: power really cut, SD cards, suspended machines.
"""
_ANCHORS: Final = """
## The same kill, elsewhere

A burst is handed over in the way that each is made for, and the process is killed with signal 9
the moment its last call has returned. What it had taken over by then, and what is there
afterwards; three bursts each. Default settings. packtap's commits wait for the disk, so they take
longer: this table is about what an answer is worth, not about speed.
"""
_DRAIN: Final = """
## A day's backlog

`python tests/bench/bench_drain.py`, a real broker, readings simulated:
"""
_DRAIN_BENCH: Final = Path(__file__).parents[1] / "bench" / "bench_drain.py"


@dataclass(frozen=True, slots=True)
class Task:
    """One row to be run."""

    name: str
    rounds: int
    seed: int
    faketime: Path | None
    guess_s: float


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table, and what went wrong in it."""

    cells: tuple[str, ...]
    trouble: tuple[str, ...] = ()
    slowest_s: float | None = None


def main() -> int:
    arguments = _arguments()
    if arguments.faketime is not None:
        arguments.faketime = arguments.faketime.resolve(strict=True)
    if not os.environ.get("PACKTAP_BENCH_MOUNTS"):
        _in_own_mounts()
    words = [word for word in arguments.only.split(",") if word]
    tasks = list(_tasks(arguments, words))
    if not tasks:
        print(f"no row is called {arguments.only}; there are:", file=sys.stderr)
        print("\n".join([fault.name for fault in FAULTS] + list(OVERLAPPING)), file=sys.stderr)
        return 2
    if not words:
        print(_PAGE.format(what=_what(arguments)))
    rows = _run(tasks, arguments.jobs)
    print("\n".join(table(HEAD, [row.cells for row in rows])), flush=True)
    slow = [row.cells[0] for row in rows if row.slowest_s and row.slowest_s > _GOAL_S]
    for name in slow:
        print(f"\nRecovery over {_GOAL_S:.0f} s: {name}.")
    for row in rows:
        for line in row.trouble:
            print(f"\n{row.cells[0]}: {line}")
    if not words and arguments.theirs:
        _say("a day's backlog")
        drained = subprocess.run(
            [sys.executable, str(_DRAIN_BENCH)], capture_output=True, text=True, check=False
        )
        print(f"{_DRAIN}\n{(drained.stdout or drained.stderr).strip()}.", flush=True)
        print(_ANCHORS)
        for line in anchor_table(arguments.theirs, _say):
            print(line, flush=True)
    return 1 if any(row.trouble for row in rows) else 0


def _what(arguments: argparse.Namespace) -> str:
    """Return the command, and the machine that it ran on."""
    options = f"SEED={arguments.seed}"
    if arguments.rounds:
        options += f" ROUNDS={arguments.rounds}"
    return (
        f"`make faults {options}`, {time.strftime('%Y-%m-%d', time.gmtime())}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {arguments.jobs} rows at a "
        "time"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, help="in each row, in place of its own number")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="rows that have one of these words, by commas")
    parser.add_argument("--jobs", type=int, default=2, help="rows at a time")
    parser.add_argument("--theirs", type=Path, help="Python with the gateway, for the anchors")
    parser.add_argument("--faketime", type=Path, help="libfaketime.so.1 of PyPI's libfaketime")
    return parser.parse_args()


def _in_own_mounts() -> None:
    """Go on where file systems can be mounted that vanish with this process."""
    command = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    os.environ["PACKTAP_BENCH_MOUNTS"] = "own"
    os.execvp(command[0], [*command, sys.executable, *sys.argv])


def _tasks(arguments: argparse.Namespace, words: Sequence[str]) -> Iterator[Task]:
    known = [(one.name, one.rounds, sum(one.lasts_s) / 2) for one in FAULTS]
    known += [(name, _OVERLAPPING_ROUNDS, 0.0) for name in OVERLAPPING]
    for name, usual, lasts_s in known:
        if words and not any(word in name for word in words):
            continue
        rounds = arguments.rounds or usual
        guess_s = 20 + rounds * (lasts_s + _GUESS_S)
        yield Task(name, rounds, arguments.seed, arguments.faketime, guess_s)


def _run(tasks: Sequence[Task], jobs: int) -> list[Row]:
    """Run the rows, the longest first; return them in the order of the table."""
    rows: dict[str, Row] = {}
    left_s = sum(task.guess_s for task in tasks)
    _say(f"{len(tasks)} rows, {jobs} at a time, about {left_s / jobs / 60:.0f} minutes")
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        longest_first = sorted(tasks, key=lambda task: -task.guess_s)
        running = {pool.submit(run_task, task): task for task in longest_first}
        for done in as_completed(running):
            task = running[done]
            rows[task.name] = done.result()
            left_s -= task.guess_s
            _say(f"{' | '.join(rows[task.name].cells)}")
            _say(f"{len(rows)} of {len(tasks)} rows, about {left_s / jobs / 60:.0f} minutes left")
    return [rows[task.name] for task in tasks]


def run_task(task: Task) -> Row:
    """Run one row on a chain of its own."""
    folder = Path(tempfile.mkdtemp(prefix="packtap-faults-"))
    try:
        if task.name in OVERLAPPING:
            row = _overlapping_row(task, OVERLAPPING[task.name](folder, task.seed, task.rounds))
        else:
            fault = next(fault for fault in FAULTS if fault.name == task.name)
            row = fault_row(fault, run_fault(fault, folder, task))
    except Exception as exc:
        traceback.print_exc()
        cells = (task.name, str(task.rounds), *["-"] * (len(HEAD) - 2))
        row = Row(cells, (f"failed: {str(exc) or type(exc).__name__}",))
    if row.trouble:
        return Row(row.cells, (*row.trouble, f"its files are in {folder}"), row.slowest_s)
    shutil.rmtree(folder, ignore_errors=True)
    return row


def run_fault(fault: Fault, folder: Path, task: Task) -> Result:
    """Let one fault strike a running chain, so many times; return what both ends hold."""
    disk = folder / "disk"
    disk.mkdir()
    if fault.needs == "disk":
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "packtap-bench", str(disk)],
            check=True,
        )
    needs_clock = fault.needs in ("clock", "auto clock")
    if needs_clock and task.faketime is None:
        raise ValueError("needs libfaketime: run it by `make faults`, or give --faketime")
    clock = "auto" if fault.needs == "auto clock" else "trusted"
    place = Place(folder, disk, task.faketime if needs_clock else None, clock)
    try:
        with running_bench(place, task.seed) as bench:
            with bench.riding():
                bench.run(fault, random.Random(f"{task.seed} {fault.name}"), task.rounds, _say)
            result = bench.finish()
    finally:
        if fault.needs == "disk":
            subprocess.run(["umount", "--lazy", str(disk)], check=True)
    return result


def fault_row(fault: Fault, result: Result) -> Row:
    """Return the row of the table, and in words what is wrong."""
    verdict = result.verdict
    times = [one for one in result.recovery_s if one is not None]
    slowest = max(times, default=None)
    cells = (
        *(fault.name, str(result.rounds), str(result.committed), str(result.stored)),
        *(str(len(getattr(verdict, name))) for name in _DAMAGE),
        f"{statistics.median(times):.1f}" if times else "-",
        "never" if None in result.recovery_s or slowest is None else f"{slowest:.1f}",
    )
    trouble = [*dict.fromkeys(result.trouble)]
    for name in _DAMAGE:
        found = getattr(verdict, name)
        trouble += [f"{name}: {words}" for words in found[:_SHOWN]]
        if len(found) > _SHOWN:
            trouble.append(f"{name}: {len(found) - _SHOWN} more")
    return Row(cells, tuple(trouble), slowest)


def _overlapping_row(task: Task, outcome: Outcome) -> Row:
    # Another time than that of the commit counts as missing and as foreign here, and the clock is
    # nobody's victim: no figure of its own.
    cells = (
        *(task.name, str(outcome.rounds), str(outcome.readings)),
        str(outcome.stored),
        *(str(outcome.missing + outcome.unsaved), str(outcome.doubled), "-", str(outcome.foreign)),
        *("-", f"{outcome.drain_s:.1f}"),
    )
    return Row(cells, () if outcome.is_whole else (str(outcome),), outcome.drain_s)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
