"""`packtap ingest`: from the broker into a time-series store or an SQLite file."""

import argparse
import json
import logging
import queue
import signal
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Final

from packtap.cli import ingest_rollup
from packtap.cli.arguments import duration, port
from packtap.config import (
    DeadLetterConfig,
    IngestConfig,
    SharedMqttConfig,
    SqliteConfig,
    load_ingest,
)
from packtap.errors import PacktapError
from packtap.ingest.loop import Ingest
from packtap.ingest.service import ingest_of
from packtap.notify import Service

_CONFIG: Final = Path("/etc/packtap/ingest.toml")
_WATCH_S: Final = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"configuration (see packtap config example); default {_CONFIG}",
    )
    direct = parser.add_argument_group("without a configuration file")
    direct.add_argument("--sqlite", type=Path, metavar="FILE", help="store into this SQLite file")
    direct.add_argument(
        "--dead-letter", type=Path, metavar="FILE", help="refused messages; default beside it"
    )
    direct.add_argument("--mqtt-host", metavar="HOST", help="the broker; default 127.0.0.1")
    direct.add_argument("--mqtt-port", type=port, metavar="PORT", help="its port; default 1883")
    parser.add_argument(
        "--json", action="store_true", help="print counters as one JSON object a line"
    )
    parser.add_argument(
        "--every",
        type=duration,
        default=60.0,
        metavar="SECONDS",
        help="between two lines of --json, default 60",
    )
    parser.add_argument("--verbose", action="store_true", help="log more")
    more = parser.add_subparsers(title="beside the service", metavar="", dest="part")
    what = "windows of 5 minutes and of a day beside the readings in InfluxDB, once or for ever"
    ingest_rollup.add_arguments(
        more.add_parser("rollup", help=what, description=f"ingest rollup: {what}."), _CONFIG
    )


def run(arguments: argparse.Namespace) -> int:
    """Work until SIGTERM or SIGINT."""
    if arguments.part == "rollup":
        return ingest_rollup.run(arguments, arguments.config or _CONFIG)
    from packtap.journal import start_log

    start_log(verbose=arguments.verbose)
    if not arguments.verbose:
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # the loop says it in one line
    config = _config(arguments)
    stop: queue.SimpleQueue[int] = queue.SimpleQueue()

    def handle(signum: int, frame: FrameType | None) -> None:
        del frame
        stop.put(signum)  # the one queue that may be used inside a signal handler

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    service = Service.of_this_process()
    ingest = ingest_of(config, service)
    ingest.start()
    try:
        _watch(ingest, service, stop, arguments.every if arguments.json else None)
    finally:
        service.stopping()
        ingest.stop()
        if arguments.json:
            _show(ingest)
    return 0


def _watch(
    ingest: Ingest, service: Service, stop: "queue.SimpleQueue[int]", every_s: float | None
) -> None:
    show_at = time.monotonic() + (every_s or 0.0)
    while True:
        try:
            stop.get(timeout=_WATCH_S if every_s is None else min(_WATCH_S, every_s))
        except queue.Empty:
            pass
        else:
            return
        if not ingest.running:
            raise PacktapError("ingest has failed, see the log above; messages stay at the broker")
        stats = ingest.stats()
        if stats.connected:
            service.ready()
        service.say(stats.in_one_line())
        service.feed()
        if every_s is not None and time.monotonic() >= show_at:
            show_at = time.monotonic() + every_s
            _show(ingest)


def _show(ingest: Ingest) -> None:
    body = {"kind": "ingest", "t": round(time.time(), 3), **ingest.stats().as_dict()}
    print(json.dumps(body), flush=True)


def _config(arguments: argparse.Namespace) -> IngestConfig:
    """Return what the file says, with the options in place of its values."""
    if arguments.sqlite is not None and arguments.config is None:
        config = IngestConfig(
            mqtt=SharedMqttConfig(host="127.0.0.1"),
            sqlite=SqliteConfig(path=arguments.sqlite),
            dead_letter=DeadLetterConfig(path=arguments.sqlite.with_suffix(".dead-letter.jsonl")),
        )
    else:
        config = load_ingest(arguments.config or _CONFIG)
        if arguments.sqlite is not None:
            config = replace(config, sqlite=SqliteConfig(path=arguments.sqlite), influx=None)
    mqtt = config.mqtt
    if arguments.mqtt_host is not None:
        mqtt = replace(mqtt, host=arguments.mqtt_host)
    if arguments.mqtt_port is not None:
        mqtt = replace(mqtt, port=arguments.mqtt_port)
    letters = config.dead_letter
    if arguments.dead_letter is not None:
        letters = replace(letters, path=arguments.dead_letter)
    return replace(config, mqtt=mqtt, dead_letter=letters)
