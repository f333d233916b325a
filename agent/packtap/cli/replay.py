"""`packtap replay`: a capture through the same analysis as live."""

import argparse
import json
import sys
from typing import Final

from ninebot_bms import Doubt, Observer
from packtap.analysis.open_events import OpenEvents
from packtap.cli import EXIT_FAULT, EXIT_FINE, EXIT_SILENT
from packtap.cli.told import add_told_arguments, judged_by, take_told
from packtap.errors import CaptureError
from packtap.inputs import open_capture
from packtap.memory.health import Health
from packtap.memory.remembering import Remembering
from packtap.model import Event, EventState, Severity
from packtap.replaying import replay
from packtap.tap import Digest, Tap, TapSettings
from packtap.wire import HealthValue

#: Times of a capture from here on (2024) are UTC seconds; smaller ones count from anywhere.
_UTC_FROM_S: Final = 1_704_067_200.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("capture", help="a recording of any format, .gz too; - for stdin")
    parser.add_argument("--json", action="store_true", help="one object a line, diagnosis last")
    add_told_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print events and the diagnosis; exit 1 if a warning or worse was raised."""
    settings, _ = judged_by(arguments)  # nothing here has a price
    told = _Told(settings)
    broken: CaptureError | None = None
    try:
        with open_capture(arguments.capture, progress=sys.stderr) as capture:
            for digest in replay(capture, told.tap, told.observer):
                for event in told.take(digest):
                    _print_event(event, as_json=arguments.json)
    except CaptureError as error:
        if not told.frames:
            raise
        broken = error  # what was read before the break is worth a diagnosis
    take_told(told.tap.evidence, arguments)
    if arguments.json:
        _print_diagnosis_json(told)
    elif told.frames:
        _print_diagnosis(told)
    if broken is not None:
        raise broken
    if not told.frames:
        print(
            f"packtap: no frame in {arguments.capture}: it is empty, the wrong file, of the wrong "
            "baud rate or from a silent line (packtap decode shows what is in it)",
            file=sys.stderr,
        )
        return EXIT_SILENT
    raised = [event for event in told.events if event.severity is not Severity.INFO]
    return EXIT_FAULT if raised else EXIT_FINE


class _Told:
    """What a recording has told so far."""

    def __init__(self, settings: TapSettings) -> None:
        self.observer = Observer()
        self.tap = Tap(settings, OpenEvents("replay"))
        self._remembering = Remembering(self.tap, boot="replay")
        self._last_t: float | None = None
        self.events: list[Event] = []
        self.snapshots = 0
        self.has_cells = False
        self.has_times = False
        self.doubts: dict[str, Doubt] = {}

    def take(self, digest: Digest) -> list[Event]:
        """Note what a chunk gave; return its events."""
        for swapped in self._remembering.take(digest):
            print(f"packtap: pack {swapped.now} follows {swapped.before}", file=sys.stderr)
        for _, snapshot in digest.snapshots:
            self.snapshots += 1
            self._last_t = snapshot.t
            self.has_cells |= snapshot.values.get("cell_voltages_mv") is not None
            self.has_times |= snapshot.t is not None
            self.doubts.update((doubt.name, doubt) for doubt in snapshot.doubts)
        self.events += digest.events
        return digest.events

    def health(self) -> dict[str, HealthValue]:
        """Return the derived rows of the pack; call it once, at the end."""
        self._remembering.stop()
        now_h: float | None = None
        if self._last_t is not None and self._last_t >= _UTC_FROM_S:
            now_h = self._last_t / 3600
            self._remembering.date(0.0, now_h, self.tap.open_events.all())
        memory = self._remembering.main
        if memory is None:
            return {}
        return Health().rows(memory, now_h, self.tap.limits(memory.place))

    @property
    def frames(self) -> int:
        """Frames of all nodes."""
        return sum(line.frames for line in self.observer.counts.values())

    @property
    def refused(self) -> int:
        """Stretches of bytes that were no frame."""
        return sum(sum(line.rejects.values()) for line in self.observer.counts.values())


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


def _print_diagnosis_json(told: _Told) -> None:
    # Where no frame was heard nothing was judged, and no ranking must look as if it had been.
    unjudged: dict[str, object] = {"diagnosis": [], "cannot_judge": None, "next_test": None}
    told_so = told.tap.diagnose().as_document() if told.frames else unjudged
    doubts = [
        {"name": doubt.name, "rows": list(doubt.rows), "text": doubt.text}
        for doubt in told.doubts.values()
    ]
    derived = told.health()
    print(json.dumps({**told_so, "pack": told.tap.pack, "doubts": doubts, "derived": derived}))


def _print_diagnosis(told: _Told) -> None:
    print(f"\n{told.frames} frames, {told.refused} refused, {told.snapshots} readings.")
    if told.snapshots and not told.has_cells:
        print("Nobody asked for cells (a stock ESC never does): about cells nothing can be said.")
    if told.snapshots and not told.has_times:
        print("The recording has no times: what takes a while to show cannot be judged.")
    for doubt in told.doubts.values():
        print(f"Not believed: {doubt.text}")
    diagnosis = told.tap.diagnose()
    if diagnosis.esc_error is not None:
        print(diagnosis.esc_error)
    print(f"Pack {told.tap.pack}: what explains this, most probable first")
    for entry in diagnosis.causes:
        if entry.probability >= 0.005:
            evidence = f"  (for: {', '.join(entry.evidence_for)})" if entry.evidence_for else ""
            print(f"  {entry.probability:5.1%}  {entry.cause.value}{evidence}")
    if (test := diagnosis.next_test) is not None:
        print(f"Next: {test.action} It counts if {test.positive_means}.")
    if diagnosis.cannot_judge:
        print(f"Cannot judge: {', '.join(diagnosis.cannot_judge)}")
