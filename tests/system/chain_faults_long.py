"""Many seeds of the fault runs, as a table.

    python tests/system/chain_faults_long.py --rounds 200 --seed 1 --runs 10 --store both

Each run rides an emulated scooter while agent, ingest, broker and store are killed `--rounds`
times, and compares both ends afterwards. Exit code 1 if anything was lost, doubled or invented; the
files of such a run are kept.
"""

import argparse
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Final

if __name__ == "__main__":  # as pytest does by its configuration
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from system.chain_faults import Outcome, run_influx, run_sqlite

RUNS: Final = {"influx": run_influx, "sqlite": run_sqlite}
COLUMNS: Final = (
    *("store", "seed", "rounds", "agent", "ingest", "broker", "store down", "readings", "cells"),
    *("events", "messages", "missing", "foreign", "doubled", "unsaved", "gaps", "refused"),
    "drain s",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=200, help="kills in one run")
    parser.add_argument("--seed", type=int, default=1, help="of the first run")
    parser.add_argument("--runs", type=int, default=1, help="runs, each with the next seed")
    parser.add_argument("--store", choices=(*RUNS, "both"), default="both")
    arguments = parser.parse_args()
    print(" | ".join(COLUMNS), flush=True)
    total, failed = Outcome(seed=0), 0
    for seed in range(arguments.seed, arguments.seed + arguments.runs):
        for store, run in RUNS.items():
            if arguments.store not in (store, "both"):
                continue
            folder = Path(tempfile.mkdtemp(prefix=f"packtap-{store}-{seed}-"))
            try:
                outcome = run(folder, seed, arguments.rounds)
            except Exception:
                traceback.print_exc()
                failed += 1
                print(f"{store} | {seed} | failed, its files are in {folder}", flush=True)
                continue
            print(row(store, outcome), flush=True)
            add(total, outcome)
            if outcome.is_whole:
                shutil.rmtree(folder)
            else:
                failed += 1
                print(f"its files are in {folder}", flush=True)
    print(row("total", total), flush=True)
    return 1 if failed else 0


def row(store: str, outcome: Outcome) -> str:
    kills = dict(outcome.kills)
    services = [kills.pop(name, 0) for name in ("agent", "ingest", "mosquitto")]
    cells = [
        *(store, outcome.seed or "", outcome.rounds, *services, sum(kills.values())),
        *(outcome.readings, outcome.cells, outcome.events, outcome.last_seq),
        *(outcome.missing, outcome.foreign, outcome.doubled, outcome.unsaved),
        *(outcome.gaps, outcome.refused, f"{outcome.drain_s:.1f}"),
    ]
    return " | ".join(str(cell) for cell in cells)


def add(total: Outcome, outcome: Outcome) -> None:
    total.kills += outcome.kills
    for name in (
        *("rounds", "readings", "cells", "events", "last_seq", "drain_s"),
        *("missing", "foreign", "doubled", "unsaved", "gaps", "refused"),
    ):
        setattr(total, name, getattr(total, name) + getattr(outcome, name))


if __name__ == "__main__":
    sys.exit(main())
