"""`packtap replay`: a capture through the same analysis as live."""

import argparse
import json
import sys

from ninebot_bms import Observer
from packtap.analysis.diagnosis import Diagnosis
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
        type=int,
        metavar="N",
        choices=range(10, 51),
        help="the error code that the scooter shows (10-50): a fault was reported",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print events and the diagnosis; exit 1 if a warning or worse was raised."""
    observer = Observer()
    tap = Tap(TapSettings(), OpenEvents("replay"))
    worst = Severity.INFO
    with open_capture(arguments.capture, progress=sys.stderr) as capture:
        for digest in replay(capture, tap, observer):
            for event in digest.events:
                if event.severity is not Severity.INFO:
                    worst = event.severity
                _print_event(event, as_json=arguments.json)
    if arguments.esc_error is not None:
        tap.evidence.report_error(arguments.esc_error)
    _print_diagnosis(tap.diagnose(), tap.pack, as_json=arguments.json)
    frames = sum(line.frames for line in observer.counts.values())
    if frames == 0:
        print(
            f"packtap: no frame in {arguments.capture}: wrong file, wrong baud rate, or a silent "
            "line (packtap decode shows what is in it)",
            file=sys.stderr,
        )
        return EXIT_SILENT
    return EXIT_FINE if worst is Severity.INFO else EXIT_FAULT


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


def _print_diagnosis(diagnosis: Diagnosis, pack: str, *, as_json: bool) -> None:
    test = diagnosis.next_test
    if as_json:
        causes = [
            {
                "cause": entry.cause.value,
                "probability": round(entry.probability, 6),
                "defect": entry.defect,
                "evidence_for": list(entry.evidence_for),
                "evidence_against": list(entry.evidence_against),
            }
            for entry in diagnosis.causes
        ]
        next_test = None if test is None else {"name": test.name, "action": test.action}
        print(
            json.dumps(
                {
                    "diagnosis": causes,
                    "pack": pack,
                    "cannot_judge": list(diagnosis.cannot_judge),
                    "next_test": next_test,
                }
            )
        )
        return
    print(f"\nPack {pack}: what explains this, most probable first")
    for entry in diagnosis.causes:
        if entry.probability >= 0.005:
            evidence = f"  (for: {', '.join(entry.evidence_for)})" if entry.evidence_for else ""
            print(f"  {entry.probability:5.1%}  {entry.cause.value}{evidence}")
    if test is not None:
        print(f"Next: {test.action} It counts if {test.positive_means}.")
    if diagnosis.cannot_judge:
        print(f"Cannot judge: {', '.join(diagnosis.cannot_judge)}")
