"""`packtap gaps`: the proof that no message is missing, or the name of what is."""

import argparse
import json
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from packtap.config import IngestConfig, load_ingest
from packtap.errors import DeliveryError
from packtap.ledger import Ledger, LostRun, Run, Verdict, judge
from packtap.store import Store, UndatedBoot, UndatedReading

_CONFIG: Final = Path("/etc/packtap/ingest.toml")
_DAY_MS: Final = 86_400_000
_SHOWN: Final = 20  #: runs of one kind; the rest is counted
_EPILOG: Final = """\
delivered  has arrived here (in an agent's own file: the broker has taken it)
LOST       dropped undelivered by the device when its store was full; recorded there
THINNED    samples left out of readings that waited when its store was full; recorded there
MISSING    the broker has acknowledged it and it is not here: look into ingest's dead letters,
           and whether another ingest writes elsewhere
waiting    still with the device, or on its way
Exit codes: 0 nothing lost, missing or thinned, 1 a gap, 2 usage, 3 no message or no answer."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument(
        "store",
        nargs="?",
        type=Path,
        help="an SQLite file of ingest or of an agent; without it the store of ingest's config",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"configuration of ingest; default {_CONFIG}",
    )
    parser.add_argument("--agent", metavar="NAME", help="only this device")
    parser.add_argument(
        "--days",
        type=_days,
        metavar="N",
        help="InfluxDB: only messages of the last N days; default all",
    )
    parser.add_argument(
        "--undated",
        action="store_true",
        help="of an agent's own file: readings of boots whose clock was never known, and between "
        "which moments they lie; with --json one object a reading",
    )
    parser.add_argument("--json", action="store_true", help="one object a device and store")


def run(arguments: argparse.Namespace) -> int:
    """Judge and print."""
    if arguments.undated:
        if arguments.store is None:
            print("--undated reads the file of one agent: name it", file=sys.stderr)
            return 2
        return _undated(arguments.store, as_json=arguments.json)
    if arguments.store is not None:
        ledgers: Iterable[Ledger] = _of_file(arguments.store)
    else:
        try:
            ledgers = _of_config(load_ingest(arguments.config or _CONFIG), arguments.days)
        except DeliveryError as error:
            print(f"the store cannot be asked: {error}")
            return 3
    verdicts = [
        judge(ledger) for ledger in ledgers if arguments.agent in (None, ledger.agent)
    ]  # fmt: skip
    verdicts = [verdict for verdict in verdicts if verdict.counted is not None]
    for verdict in verdicts:
        if arguments.json:
            print(json.dumps(_document(verdict)))
        else:
            print("\n".join(_lines(verdict)))
    if not verdicts:
        if not arguments.json:
            print("no message has arrived here" + (" of this device" if arguments.agent else ""))
        return 3
    return 0 if all(verdict.is_complete for verdict in verdicts) else 1


def _undated(path: Path, *, as_json: bool) -> int:
    with Store.open_read_only(path) as store:
        boots = store.undated_boots()
        for each in boots:
            if not as_json:
                print(_boot_line(each))
                continue
            for reading in store.undated_readings(each):
                print(json.dumps(_reading_document(each, reading)))
    if not boots and not as_json:
        print("every reading is dated")
    return 1 if boots else 0


def _boot_line(boot: UndatedBoot) -> str:
    return (
        f"{boot.pack} boot {boot.boot[:8]}: {boot.readings} readings without a date, from "
        f"{boot.first_ms / 1000:g} s after its start on, {_bounds(boot)}"
    )


def _bounds(boot: UndatedBoot) -> str:
    if boot.is_contradicted:
        return "the clocks of the boots around it contradict each other"
    early, late = boot.not_before_ms, boot.not_after_ms
    after = "no dated boot before it" if early is None else f"not before {_utc(early)}"
    before = "no dated boot after it" if late is None else f"not after {_utc(late)}"
    return f"{after}, {before}"


def _reading_document(boot: UndatedBoot, reading: UndatedReading) -> dict[str, object]:
    return {
        "kind": "undated",
        "pack": boot.pack,
        "boot": boot.boot,
        "boot_s": reading.boot_ms / 1000,
        "not_before_ms": reading.not_before_ms,
        "not_after_ms": reading.not_after_ms,
        "values": reading.values,
    }


def _of_file(path: Path) -> list[Ledger]:
    with Store.open_read_only(path) as store:
        return store.ledgers()


def _of_config(config: IngestConfig, days: float | None) -> list[Ledger]:
    if config.sqlite is not None:
        return _of_file(config.sqlite.path)
    from packtap.ingest.influx_ledger import InfluxLedgers

    assert config.influx is not None  # exactly one of the two is there
    since_ms = 0 if days is None else round(time.time() * 1000 - days * _DAY_MS)
    return list(InfluxLedgers(config.influx, since_ms).read())


def _lines(verdict: Verdict) -> list[str]:
    ledger, counted = verdict.ledger, verdict.counted
    assert counted is not None
    share = verdict.delivered_pct
    gaps = f"{verdict.gaps} gap" + ("" if verdict.gaps == 1 else "s")
    branch = f" (branch {ledger.branch}: numbered anew)" if ledger.branch else ""
    lines = [
        f"{ledger.site}/{ledger.agent}/{ledger.bus} store {ledger.store[:8]}{branch}: delivered "
        f"{'-' if share is None else f'{share:g}'} %, {gaps}; "
        f"{verdict.delivered} messages of {counted.count}, seq {counted.first}-{counted.last}"
    ]
    lines += _listed([_lost_line(run) for run in verdict.lost])
    lines += _listed([_thinned_line(run) for run in verdict.ledger.thinned])
    lines += _listed(
        [
            f"  MISSING  {_seq(run)}: acknowledged by the broker, and not here"
            for run in verdict.missing
        ]
    )
    return lines + _listed([f"  waiting  {_seq(run)}: on their way" for run in verdict.waiting])


def _listed(lines: list[str]) -> list[str]:
    more = len(lines) - _SHOWN
    return lines if more <= 0 else [*lines[:_SHOWN], f"           and {more} more such runs"]


def _lost_line(run: LostRun) -> str:
    when = "never dated" if run.from_ms is None else f"from {_utc(run.from_ms)} on"
    return (
        f"  LOST     {_seq(Run(run.first, run.last))}: dropped by the device when its store was "
        f"full, {run.samples} samples, {when}"
    )


def _thinned_line(run: LostRun) -> str:
    when = "never dated" if run.from_ms is None else f"from {_utc(run.from_ms)} on"
    return (
        f"  THINNED  within seq {run.first}-{run.last}: {run.samples} samples left out by the "
        f"device when its store was full, {when}"
    )


def _runs(runs: Iterable[LostRun]) -> list[dict[str, object]]:
    return [
        {
            "first_seq": run.first,
            "last_seq": run.last,
            "samples": run.samples,
            "from_ms": run.from_ms,
        }
        for run in runs
    ]


def _seq(run: Run) -> str:
    return f"seq {run.first}-{run.last}, {run.count} message" + ("" if run.count == 1 else "s")


def _utc(t_ms: int) -> str:
    return f"{datetime.fromtimestamp(t_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _document(verdict: Verdict) -> dict[str, object]:
    ledger, counted = verdict.ledger, verdict.counted
    assert counted is not None
    return {
        "kind": "delivery",
        "site": ledger.site,
        "agent": ledger.agent,
        "bus": ledger.bus,
        "store": ledger.store,
        "branch": ledger.branch,
        "first_seq": counted.first,
        "last_seq": counted.last,
        "delivered": verdict.delivered,
        "delivered_pct": verdict.delivered_pct,
        "gaps": verdict.gaps,
        "lost": _runs(verdict.lost),
        "thinned_samples": verdict.thinned_samples,
        "thinned": _runs(ledger.thinned),
        "missing": [{"first_seq": run.first, "last_seq": run.last} for run in verdict.missing],
        "waiting": [{"first_seq": run.first, "last_seq": run.last} for run in verdict.waiting],
    }


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days < 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days: more than 0")
    return days
