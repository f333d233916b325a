"""Both ends of the chain sample by sample: lost, duplicated, wrong in time, otherwise different.

A sample is what one pack reported at one time, or one end of an event. What is committed is read
from the agent's file, what is stored from InfluxDB, and what was said from the bytes on the wire,
with the bench's own clock. Nothing here knows what should come out.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ninebot_bms import Framer
from ninebot_bms.frames import Frame
from ninebot_bms.registers import block_of, decode_block
from packtap.store import StoredReading
from system.chain import AGENT, BUS, SITE, rows_of_cells, rows_of_packs

__all__ = ["Sample", "Verdict", "compare", "samples_of_events", "samples_of_readings", "untimely"]

HOME: Final = (SITE, AGENT, BUS)
#: A value must have been on the wire so long before its reading's time, or so long after it:
#: frames within 200 ms are one reading, and a busy machine reads late; the agent keeps its offset
#: to UTC while the clock is slewed by less than half a second.
_LATE_MS: Final = 5000
_EARLY_MS: Final = 600


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading, or one end of an event.

    Attributes:
        what: the pack; of an event also its id and its end.
        t_ms: UTC milliseconds.
        values: what it says; cells as cell_01, cell_02, ...
        home: site, agent and bus.
    """

    what: str
    t_ms: int
    values: Mapping[str, Any]
    home: tuple[str, str, str] = HOME


@dataclass(slots=True)
class Verdict:
    """What became of what was committed; each list says it in words.

    Attributes:
        lost: committed and not stored.
        duplicated: stored, and already stored once.
        wrong_time: stored at a time at which it was not committed, or not said.
        altered: stored with other values, or never committed.
    """

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    wrong_time: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.duplicated or self.wrong_time or self.altered)


def samples_of_readings(readings: Sequence[StoredReading]) -> list[Sample]:
    """Return what the agent has committed, cells included."""
    values: dict[tuple[str, int], dict[str, Any]] = {
        key: dict(fields) for key, fields in rows_of_packs(list(readings)).items()
    }
    for (pack, cell, t_ms), millivolts in rows_of_cells(list(readings)).items():
        values.setdefault((pack, t_ms), {})[f"cell_{cell}"] = millivolts
    return [Sample(pack, t_ms, fields) for (pack, t_ms), fields in values.items()]


def samples_of_events(rows: Iterable[Mapping[str, Any]]) -> list[Sample]:
    """Return both ends of events, from the rows of measurement `event`."""
    return [
        Sample(
            f"{row['pack']} event {row['id']} {row['state']}",
            row["time"],
            {name: value for name, value in row.items() if name not in ("time", "id", "state")},
        )
        for row in rows
    ]


def compare(committed: Sequence[Sample], stored: Sequence[Sample]) -> Verdict:
    """Hold what is stored against what was committed."""
    verdict = Verdict()
    wanted = {(one.what, one.t_ms): one for one in committed}
    found: set[tuple[str, int]] = set()
    strays: list[Sample] = []
    for one in stored:
        key = (one.what, one.t_ms)
        if key not in wanted:
            strays.append(one)
        elif key in found:
            verdict.duplicated.append(_words(one, "is stored twice"))
        elif one != wanted[key]:
            found.add(key)
            verdict.altered.append(_words(one, f"was committed as {dict(wanted[key].values)}"))
        else:
            found.add(key)
    missing = defaultdict(list)
    for key, one in wanted.items():
        if key not in found:
            missing[_content(one)].append(one)
    contents = {_content(one) for one in committed}
    for one in strays:
        content = _content(one)
        if missing[content]:
            meant = missing[content].pop(0)
            verdict.wrong_time.append(_words(one, f"was committed at {meant.t_ms}"))
        elif content in contents:
            verdict.duplicated.append(_words(one, "is stored at its own time too"))
        else:
            verdict.altered.append(_words(one, "was never committed"))
    for left in missing.values():
        verdict.lost += [_words(one, "is not stored") for one in left]
    return verdict


def untimely(
    samples: Sequence[Sample], written: Sequence[tuple[int, int, bytes]]
) -> tuple[list[str], int]:
    """Return the samples of readings with a value that was not on the wire at their time.

    Args:
        samples: readings.
        written: when which bytes were on the wire of the pack, by a clock that nobody moves.

    Returns:
        Words for each; and how many samples have a value whose time could be told at all.
    """
    said = _said(written)
    wrong, judged = [], 0
    for one in samples:
        known = {name: value for name, value in one.values.items() if name in said}
        judged += bool(known)
        bad = [name for name, value in known.items() if not _was_said(said[name], value, one.t_ms)]
        if bad:
            wrong.append(_words(one, f"{', '.join(bad)} not on the wire at that time"))
    return wrong, judged


def _said(written: Sequence[tuple[int, int, bytes]]) -> dict[str, list[tuple[int, Any]]]:
    """Return name -> (UTC ms, value), in order of time."""
    said: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    framer = Framer()
    for _, ended, data in written:
        for frame in framer.receive_data(data):
            block = block_of(frame) if isinstance(frame, Frame) else None
            if block is None:
                continue
            for name, value in decode_block(block.index, block.data).items():
                if isinstance(value, tuple) and name == "cell_voltages_mv":
                    for number, millivolts in enumerate(value, start=1):
                        said[f"cell_{number:02}"].append((ended, millivolts))
                elif value is not None:
                    said[name].append((ended, _as_field(value)))
    return said


def _was_said(said: Sequence[tuple[int, Any]], value: object, t_ms: int) -> bool:
    start = bisect_left(said, t_ms - _LATE_MS, key=lambda moment: moment[0])
    for at, told in said[start:]:
        if at > t_ms + _EARLY_MS:
            return False
        if told == value:
            return True
    return False


def _as_field(value: Any) -> object:
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


def _content(one: Sample) -> tuple[str, frozenset[tuple[str, Any]]]:
    return one.what, frozenset(one.values.items())


def _words(one: Sample, what: str) -> str:
    return f"{one.what} at {one.t_ms} ms {dict(one.values)}: {what}"
