"""`packtap capture`: what can be done to a recording. `redact` takes out what names somebody.

`redact --json` prints one object; its keys are a contract: capture, out, complete, chunks, bytes,
frames, replaced_frames, voided_frames, blanked_bytes, renamed_lines, replaced (frames by what they
held), pseudonyms (the new names, in the order of the recording).
"""

import argparse
import gzip
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final, TextIO, cast

from ninebot_bms import Chunk, format_chunk
from packtap.cli import EXIT_FINE, EXIT_SILENT
from packtap.errors import CaptureError
from packtap.identity_survey import Survey
from packtap.inputs import STANDARD_INPUT, open_capture
from packtap.redacting import Redactor, Tally

__all__ = ["add_arguments", "run"]

_FORMS: Final = "hex text, raw bytes, capture text, JSON lines or Saleae serial CSV; .gz too"
_SIMULATED: Final = "simulated by packtap"
#: A line of more bytes is longer than a reader of recordings takes.
_MAX_BYTES: Final = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    does = parser.add_subparsers(metavar="WHAT", required=True)
    redact = does.add_parser(
        "redact",
        help="a copy without serial numbers, to share",
        description="Write a copy of a recording in which serial numbers, chip ids and pairing "
        "codes are replaced. The same serial gets the same pseudonym; model and date of a pack's "
        "serial stay. Voltages, currents, counters, times and everything else stay byte for byte. "
        "Distances and dates stay too: together they may still tell a scooter to who knows it.",
    )
    redact.add_argument("capture", metavar="IN", help=f"{_FORMS}; read twice, so no pipe")
    redact.add_argument(
        "out",
        metavar="OUT",
        type=Path,
        help="a new file: capture text (JSON lines, if IN has no times or line names); .gz: packed",
    )
    redact.add_argument("--json", action="store_true", help="say what was done as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Write the copy and say what was replaced; exit 3 if not one frame is among the bytes."""
    name, out = arguments.capture, arguments.out
    if name == STANDARD_INPUT or Path(name).is_fifo():
        raise CaptureError("a recording is read twice to be redacted: name a file, not a pipe")
    if out.exists() or out.is_symlink():
        raise CaptureError(f"{out} is there already: nothing is overwritten; give another name")
    survey = Survey()
    broken = _each(name, survey.take)
    survey.close()
    if not survey.frames:
        if broken is not None:
            raise broken
        print(
            f"packtap: no frame in {name}: where a serial number stands cannot be told, so nothing "
            "is written (packtap decode shows what is in it)",
            file=sys.stderr,
        )
        return EXIT_SILENT
    redactor = Redactor(survey)
    form = format_chunk if survey.has_names_and_times else _json_line
    with _new(out) as file:
        file.write(f"# {_remark(name)}\n")

        def put(chunks: Iterable[Chunk]) -> None:
            for chunk in chunks:
                for piece in _short(chunk):
                    file.write(f"{form(piece)}\n")

        _each(name, lambda chunk: put(redactor.take(chunk)))
        put(redactor.close())
    _tell(redactor.tally, name, out, is_complete=broken is None, as_json=arguments.json)
    if broken is not None:
        raise broken
    return EXIT_FINE


def _each(name: str, take: Callable[[Chunk], None]) -> CaptureError | None:
    """Show every chunk that can be read; return what broke the reading off, if anything."""
    has_ended = False
    try:
        with open_capture(name, progress=sys.stderr) as reader:
            for chunk in reader:
                take(chunk)
            has_ended = True
    except CaptureError as error:
        if not has_ended:
            raise
        return error
    return None


def _remark(name: str) -> str:
    """Return the first line: what a recording says of itself goes, but that it is simulated."""
    is_simulated = False
    with suppress(CaptureError), open_capture(name) as reader:
        is_simulated = reader.remark.startswith(_SIMULATED)
    what = "names in it are pseudonyms (packtap capture redact)"
    return f"{_SIMULATED}, no real scooter; {what}" if is_simulated else what


def _short(chunk: Chunk) -> Iterator[Chunk]:
    for start in range(0, len(chunk.data), _MAX_BYTES):
        yield replace(chunk, data=chunk.data[start : start + _MAX_BYTES])


def _json_line(chunk: Chunk) -> str:
    return json.dumps({"hex": chunk.data.hex(), "t": chunk.t, "line": chunk.line})


@contextmanager
def _new(path: Path) -> Iterator[TextIO]:
    """Open a new file; it is taken away again if it cannot be finished."""
    try:
        raw = path.open("xb")
    except OSError as error:
        raise CaptureError(f"{path} cannot be written: {error.strerror}") from error
    try:
        with raw, _text(path, raw) as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _text(path: Path, raw: BinaryIO) -> TextIO:
    if path.suffix == ".gz":
        return cast("TextIO", gzip.open(raw, "wt", encoding="ascii"))
    return io.TextIOWrapper(raw, encoding="ascii", newline="\n")


def _tell(tally: Tally, name: str, out: Path, *, is_complete: bool, as_json: bool) -> None:
    if as_json:
        print(json.dumps({
            "capture": name, "out": str(out), "complete": is_complete, "chunks": tally.chunks,
            "bytes": tally.data_bytes, "frames": tally.frames,
            "replaced_frames": tally.replaced_frames, "voided_frames": tally.voided_frames,
            "blanked_bytes": tally.blanked_bytes, "renamed_lines": tally.renamed_lines,
            "replaced": tally.replaced, "pseudonyms": list(tally.pseudonyms),
        }))  # fmt: skip
        return
    print(f"{out}: {tally.chunks} chunks, {tally.frames} frames")
    held = "; ".join(f"{what} in {count}" for what, count in tally.replaced.items())
    print(f"Replaced in {tally.replaced_frames} frames: {held or 'nothing, no name was read'}.")
    if tally.pseudonyms:
        print(f"Pseudonyms: {', '.join(tally.pseudonyms)}.")
    if tally.blanked_bytes:
        print(
            f"Blanked: {tally.blanked_bytes} bytes in damaged stretches and in "
            f"{tally.voided_frames} frames that wrote a name or a key, which are no frames now."
        )
    if tally.renamed_lines:
        print(f"Renamed: {tally.renamed_lines} lines whose name held a serial number.")
    print(
        "Voltages, currents, temperatures, counters, dates, distances and times stay as recorded."
    )
