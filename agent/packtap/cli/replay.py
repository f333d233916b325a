"""`packtap replay`: a capture through the same analysis as live."""

import argparse
import json
import sys

from ninebot_bms import Observer
from packtap.analysis.diagnosis import RankedCause, rank_causes
from packtap.analysis.open_events import OpenEvents
from packtap.cli import EXIT_FAULT, EXIT_FINE, EXIT_SILENT
from packtap.inputs import open_capture
from packtap.model import Event, EventState, Severity
from packtap.replaying import replay
from packtap.tap import Tap, TapSettings

HELP = "a capture through the same analysis as live: events and a diagnosis"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("capture", help="a recording of any format, .gz too; - for stdin")
    parser.add_argument("--json", action="store_true", help="one object a line, diagnosis last")
    parser.add_argument(
        "--esc-error",
        type=_error_code,
        metavar="N",
        help="the error code that the scooter shows (10-50): a fault was reported",
    )


def _error_code(word: str) -> int:
    if not (word.isdecimal() and 10 <= int(word) <= 50):
        raise argparse.ArgumentTypeError(f"{word!r} is no error code of a scooter: those are 10-50")
    return int(word)


def run(arguments: argparse.Namespace) -> int:
    """Print events and the diagnosis; exit 1 if a warning or worse was raised."""
    observer = Observer()
    tap = Tap(TapSettings(), OpenEvents("replay"))
    seen: list[Event] = []
    with open_capture(arguments.capture, progress=sys.stderr) as capture:
        for digest in replay(capture, tap, observer):
            for event in digest.events:
                seen.append(event)
                _print_event(event, as_json=arguments.json)
    ranked = rank_causes(seen, fault_reported=arguments.esc_error is not None)
    _print_diagnosis(ranked, tap.pack, as_json=arguments.json)
    frames = sum(line.frames for line in observer.counts.values())
    if frames == 0:
        print(
            f"packtap: no frame in {arguments.capture}: wrong file, wrong baud rate, or a silent "
            "line (packtap decode shows what is in it)",
            file=sys.stderr,
        )
        return EXIT_SILENT
    raised = [event for event in seen if event.severity is not Severity.INFO]
    return EXIT_FAULT if raised else EXIT_FINE


def _print_event(event: Event, *, as_json: bool) -> None:
    if as_json:
        print(
            json.dumps(
                {
                    "t": event.t,
                    "kind": event.kind,
                    "cell": event.cell,
                    "severity": event.severity.value,
                    "state": event.state.value,
                    "pack": event.pack,
                    "value": event.value,
                    "limit": event.limit,
                    "unit": event.unit,
                    "text": event.text,
                    "id": event.id,
                }
            )
        )
        return
    when = "" if event.t is None else f"{event.t:.3f}  "
    word = event.severity.value.upper() if event.state is EventState.RAISED else "cleared"
    print(f"{when}{word}  {event.kind}: {event.text}")


def _print_diagnosis(ranked: tuple[RankedCause, ...], pack: str, *, as_json: bool) -> None:
    if as_json:
        causes = [
            {
                "cause": entry.cause.value,
                "probability": round(entry.probability, 6),
                "evidence_for": list(entry.evidence_for),
                "evidence_against": list(entry.evidence_against),
            }
            for entry in ranked
        ]
        print(json.dumps({"diagnosis": causes, "pack": pack}))
        return
    print(f"\nPack {pack}: what explains this, most probable first")
    for entry in ranked:
        if entry.probability >= 0.005:
            evidence = f"  (for: {', '.join(entry.evidence_for)})" if entry.evidence_for else ""
            print(f"  {entry.probability:5.1%}  {entry.cause.value}{evidence}")
