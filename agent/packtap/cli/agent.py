"""`packtap agent`: the service on the Pi."""

import argparse
import signal
import threading
from pathlib import Path
from types import FrameType

from packtap.journal import start_log


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration (see packtap config example)",
    )
    where.add_argument("--bus", metavar="NAME", help="use /etc/packtap/agent-NAME.toml")
    parser.add_argument("--verbose", action="store_true", help="log more")


def run(arguments: argparse.Namespace) -> int:
    """Work until SIGTERM or SIGINT."""
    from packtap.agent import Agent
    from packtap.clock import Clock
    from packtap.config import load_agent
    from packtap.notify import Service

    start_log(verbose=arguments.verbose)
    path = arguments.config or Path(f"/etc/packtap/agent-{arguments.bus or 'main'}.toml")
    config = load_agent(path)
    stop = stop_on_signals()
    Agent(config, Clock(config.clock), Service.of_this_process()).run(stop)
    return 0


def stop_on_signals(*more: signal.Signals) -> threading.Event:
    """Return an event that SIGTERM and SIGINT set, and `more`."""
    stop = threading.Event()

    def handle(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        # Not here: a handler runs in the middle of the main thread, which may hold the event's
        # lock (inside `stop.wait`) and would wait for itself for ever.
        threading.Thread(target=stop.set, name="stop", daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT, *more):
        signal.signal(number, handle)
    return stop
