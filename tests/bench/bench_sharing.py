"""An hour on a shared dashboard's wire, simulated: how often cells come, and whom it disturbs.

Run: `python tests/bench/bench_sharing.py [--seconds 3600] [--seeds 1 2 3] [--ride NAME ...]`
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from ninebot_bms.emulated_esc import PHONE_READS
from ninebot_bms.emulator.dashboard import RIDE_PAGE
from shared_wire import SharedWire

RIDES = {
    "alone": {},
    "battery-page": {"app": PHONE_READS},
    "ride-page": {"app": RIDE_PAGE, "app_reads_esc": True},
    "noise": {"noise": 0.01},
}


def main() -> None:
    """Print one line a ride and seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--ride", choices=RIDES, nargs="+", default=list(RIDES))
    arguments = parser.parse_args()
    print("ride          seed   frames  disturbed  cells Hz  asked  collisions  backoffs  took s")
    for seed in arguments.seeds:
        for name in arguments.ride:
            began = time.monotonic()
            wire = SharedWire(seed=seed, keeps_events=False, **RIDES[name])  # type: ignore[arg-type]
            wire.run(arguments.seconds)
            print(
                f"{name:13} {seed:4} {wire.bus.frames:8} {wire.bus.disturbed:10} "
                f"{wire.replies[0x40] / arguments.seconds:9.2f} {len(wire.sent):6} "
                f"{wire.sharing.collisions:11} {wire.sharing.backoffs:9} "
                f"{time.monotonic() - began:7.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
