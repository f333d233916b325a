"""`packtap ingest rollup`: windows of 5 minutes and of a day, beside the readings."""

import argparse
import json
import logging
import queue
import signal
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import FrameType
from typing import Final

from packtap.cli.arguments import days, duration
from packtap.config import InfluxConfig, load_ingest
from packtap.errors import ConfigError, DeliveryError

__all__ = ["add_arguments", "run"]

_DAY_MS: Final = 86_400_000
_EPILOG: Final = """\
A day of an agent is redone when messages of it have arrived since its windows were made, however
late they come (within --days). Running it twice, or two of them at once, changes nothing.
Exit codes: 0 done, 1 the store refuses what was made, 2 usage or configuration, 3 the store does
not answer."""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser, config: Path) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help=f"configuration of ingest; default {config}",
    )
    parser.add_argument(
        "--every",
        dest="again_s",
        type=duration,
        metavar="SECONDS",
        help="go on for ever, with so long a pause; default: once",
    )
    parser.add_argument(
        "--days",
        type=days,
        default=90,
        metavar="N",
        help="look for late messages in the last N days, default 90: as long as readings are kept",
    )
    parser.add_argument(
        "--since",
        type=_date,
        metavar="DATE",
        help="redo every day since this one (YYYY-MM-DD, UTC), the first time round",
    )
    parser.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="one object a day made"
    )
    parser.add_argument(
        "--verbose", action="store_true", default=argparse.SUPPRESS, help="log more"
    )


def run(arguments: argparse.Namespace, config_file: Path) -> int:
    """Make what is missing; with --every, until SIGTERM or SIGINT."""
    config = load_ingest(config_file).influx
    if config is None:
        raise ConfigError(
            ["influx: rollups are for InfluxDB; an SQLite store keeps its own minutes"],
            str(config_file),
        )
    stop: queue.SimpleQueue[int] = queue.SimpleQueue()
    if arguments.again_s is not None:

        def handle(signum: int, frame: FrameType | None) -> None:
            del frame
            stop.put(signum)

        signal.signal(signal.SIGTERM, handle)
        signal.signal(signal.SIGINT, handle)
        from packtap.journal import start_log

        start_log(verbose=arguments.verbose)
    since = arguments.since
    while True:
        code = _once(config, arguments, since, stop)
        if arguments.again_s is None:
            return code
        since = since if code else None
        try:
            stop.get(timeout=arguments.again_s)
        except queue.Empty:
            continue
        return 0


def _once(
    config: InfluxConfig,
    arguments: argparse.Namespace,
    since: int | None,
    stop: "queue.SimpleQueue[int]",
) -> int:
    from packtap.ingest.rollup import RollupMaker
    from packtap.ingest.service import influx_sink
    from packtap.ingest.sinks import Refused

    now_ms = round(time.time() * 1000)
    from_ms = now_ms - arguments.days * _DAY_MS if since is None else since
    sink = influx_sink(replace(config, bucket=config.rollup_bucket or config.bucket))
    days_made = windows = 0
    try:
        maker = RollupMaker(config, sink)
        for done in maker.run(
            from_ms, now_ms, again=since is not None, stopped=lambda: not stop.empty()
        ):
            days_made, windows = done.done, windows + done.windows
            _say(
                arguments,
                {
                    "kind": "rollup",
                    "day": _day(done.day_ms),
                    "agents": done.agents,
                    "windows": done.windows,
                    "done": done.done,
                    "days": done.days,
                },
                f"{_day(done.day_ms)}: {done.windows} windows of {done.agents} "
                f"agent{'' if done.agents == 1 else 's'} ({done.done} of {done.days} days)",
            )
    except DeliveryError as error:
        text = f"rollups stopped: {error}; the next run goes on here"
        if arguments.again_s is None:
            print(text if not arguments.json else json.dumps({"kind": "error", "text": text}))
        else:
            _log.warning("%s", text)
        return 1 if isinstance(error, Refused) else 3
    finally:
        sink.close()
    _say(
        arguments,
        {"kind": "rollup_done", "days": days_made, "windows": windows},
        f"{windows} windows of {days_made} days" if days_made else "nothing new has arrived",
    )
    return 0


def _say(arguments: argparse.Namespace, document: dict[str, object], line: str) -> None:
    print(json.dumps(document) if arguments.json else line, flush=True)


def _day(t_ms: int) -> str:
    return f"{datetime.fromtimestamp(t_ms / 1000, UTC):%Y-%m-%d}"


def _date(text: str) -> int:
    try:
        return round(
            datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC).timestamp() * 1000
        )
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is no date: YYYY-MM-DD") from exc
