"""Short ways to write messages for the tests of store and uplink."""

import random
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from packtap.store import Draft, Store

UTC = 1_790_000_000_000  #: a UTC offset: boot at some day of 2026

Row = tuple[int, str, Mapping[str, Any]]


def readings(
    *times_ms: int,
    offset: int | None = UTC,
    boot: str = "boot-a",
    pack: str = "PACK",
    columns: Mapping[str, Sequence[Any]] | None = None,
) -> Draft:
    """A batch of readings whose voltage tells its time."""
    return Draft(
        kind="readings",
        site="depot",
        agent="pi",
        bus="a",
        pack=pack,
        boot=boot,
        utc_offset_ms=offset,
        times_ms=times_ms,
        body={"columns": columns or {"voltage_v": [t / 1000 for t in times_ms]}},
    )


def padded(t: int, size: int, *, boot: str = "boot-a", offset: int | None = UTC) -> Draft:
    """One reading that takes about `size` bytes."""
    return readings(t, boot=boot, offset=offset, columns={"serial": [filler(t, size)]})


def filler(seed: int, size: int) -> str:
    """Return a text that takes about `size` bytes however well it is packed."""
    return b64encode(random.Random(seed).randbytes(size)).decode()


def event(
    id: str,
    state: str = "raised",
    *,
    t: int = 1,
    offset: int | None = UTC,
    boot: str = "boot-a",
    text: str = "Cell 3 is high.",
) -> Draft:
    """One end of an event."""
    return Draft(
        kind="event",
        site="depot",
        agent="pi",
        bus="a",
        pack="PACK",
        boot=boot,
        utc_offset_ms=offset,
        times_ms=(t,),
        body={
            "id": id,
            "kind": "cell_overvoltage",
            "severity": "critical",
            "state": state,
            "cell": 3,
            "value": 4260.0,
            "limit": 4250.0,
            "unit": "mV",
            "text": text,
        },
    )


def health(
    t: int,
    *,
    offset: int | None = UTC,
    boot: str = "boot-a",
    pack: str = "PACK",
    **rows: Any,
) -> Draft:
    """What memory and diagnosis say at one time."""
    return Draft(
        kind="health",
        site="depot",
        agent="pi",
        bus="a",
        pack=pack,
        boot=boot,
        utc_offset_ms=offset,
        times_ms=(t,),
        body={"rows": rows, "causes": {"none": 0.75, "bms_board": 0.25}},
    )


def rows(store: Store) -> list[Row]:
    """Every dated reading as time, pack, values."""
    return [(item.t_ms, item.pack, dict(item.values)) for item in store.readings()]


def seqs(store: Store) -> list[int]:
    """What waits for delivery."""
    return [item.seq for item in store.pending(0, 1_000_000)]
