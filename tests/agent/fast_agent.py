"""An agent in a process of its own whose clock runs fast, to be killed.

    python fast_agent.py CONFIG SPEED

Its seconds since boot are the machine's times SPEED: they go on over a restart.
"""

import sys

from packtap.agent import Agent
from packtap.cli.agent import stop_on_signals
from packtap.clock import Clock, boot_ms
from packtap.config import load_agent
from packtap.journal import start_log

#: When this machine was started, as its clock has it: some time in 2027.
EPOCH_MS = 1_800_000_000_000


def main() -> None:
    """Run until SIGTERM, or until killed."""
    speed = int(sys.argv[2])
    start_log(verbose=False)
    stop = stop_on_signals()
    clock = Clock(
        "trusted",
        boot_ms=lambda: boot_ms() * speed,
        utc_ms=lambda: EPOCH_MS + boot_ms() * speed,
    )
    Agent(load_agent(sys.argv[1]), clock).run(stop)


if __name__ == "__main__":
    main()
