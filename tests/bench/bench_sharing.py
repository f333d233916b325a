"""An hour on a shared dashboard's wire, simulated: how often cells come, and whom it disturbs.

Run: `python tests/bench/bench_sharing.py [--seconds 3600] [--seeds 1 2 3] [--ride NAME ...]`;
"by-chance" is another scooter with each seed: its period, how unsteady it is, the pack's clock.
"""

import argparse
import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from ninebot_bms.emulated_esc import PHONE_READS
from ninebot_bms.emulator.dashboard import RIDE_PAGE, DashTiming
from shared_wire import SharedWire

RIDES: dict[str, dict[str, Any]] = {
    "alone": {},
    "battery-page": {"app": PHONE_READS},
    "ride-page": {"app": RIDE_PAGE, "app_reads_esc": True},
    "noise": {"noise": 0.01},
    "by-chance": {},
}


def by_chance(seed: int) -> dict[str, Any]:
    """Return what the property test draws too (tests/protocol/test_sharing.py)."""
    rng = random.Random(seed)
    return {
        "timing": DashTiming(period_s=rng.uniform(0.0175, 0.045), late_share=rng.uniform(0, 0.15)),
        "lag_s": (0.0, rng.uniform(0, 0.002)),
        "drift": rng.uniform(-0.004, 0.004),
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
            ride = by_chance(seed) if name == "by-chance" else RIDES[name]
            wire = SharedWire(seed=seed, keeps_events=False, **ride)
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
