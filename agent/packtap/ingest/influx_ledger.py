"""Reads back from InfluxDB which numbers have arrived, and what devices say they left out.

Measurements `delivery`, `gap` and `thinned`. InfluxQL in the subset that 1.x, 2.x (through a
database mapping) and 3.x understand, over their `/query` address. Complete series cost one row
each; only of one with holes the numbers are read.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from packtap.config import InfluxConfig
from packtap.ingest.influx_query import ask, text_literal
from packtap.ledger import Ledger, LostRun, Run, joined

__all__ = ["InfluxLedgers"]

_TAGS: Final = ("site", "agent", "bus", "store")
_BY: Final = ", ".join(f'"{name}"' for name in _TAGS)

_Key = tuple[str, str, str, str]


class InfluxLedgers:
    """Asks one bucket.

    Args:
        config: of ingest.
        since_ms: what is older is not looked at; UTC milliseconds, 0 = everything.
    """

    def __init__(self, config: InfluxConfig, since_ms: int = 0) -> None:
        self._config = config
        self._since_ms = since_ms

    def read(self) -> Iterator[Ledger]:
        """Yield the ledger of each agent's store.

        Raises:
            DeliveryError: the store cannot be asked.
        """
        totals = self._by_key(
            'SELECT count(distinct("seq")) AS n, min("seq") AS low, max("seq") AS high, '
            'max("settled_seq") AS settled FROM "delivery"'
        )
        lost = self._by_key('SELECT "first_seq", "last_seq", "samples" FROM "gap"')
        thinned = self._by_key('SELECT "first_seq", "last_seq", "samples" FROM "thinned"')
        for key in sorted({*totals, *lost}):
            total = next(iter(totals.get(key, [])), None)
            runs = [] if total is None else self._runs(key, total)
            settled = None if total is None else total.get("settled")
            yield Ledger(
                *key,
                branch=0,
                arrived=tuple(runs),
                lost=tuple(_lost(row) for row in lost.get(key, [])),
                settled_seq=None if settled is None else int(settled),
                thinned=tuple(_lost(row) for row in thinned.get(key, [])),
            )

    def _runs(self, key: _Key, total: Mapping[str, Any]) -> list[Run]:
        low, high = int(total["low"]), int(total["high"])
        if int(total["n"]) == high - low + 1:
            return [Run(low, high)]
        only = " AND ".join(
            f'"{name}" = {text_literal(value)}' for name, value in zip(_TAGS, key, strict=True)
        )
        rows = self._by_key('SELECT "seq" FROM "delivery"', only).get(key, [])
        return joined(sorted(int(row["seq"]) for row in rows))

    def _by_key(self, select: str, only: str = "") -> dict[_Key, list[dict[str, Any]]]:
        conditions = [f"time >= {self._since_ms}ms"] + ([only] if only else [])
        answer = ask(self._config, f"{select} WHERE {' AND '.join(conditions)} GROUP BY {_BY}")
        found: dict[_Key, list[dict[str, Any]]] = {}
        for series in answer:
            tags = series["tags"]
            key = (tags["site"], tags["agent"], tags["bus"], tags["store"])
            found[key] = [
                dict(zip(series["columns"], row, strict=True)) for row in series["values"]
            ]
        return found


def _lost(row: Mapping[str, Any]) -> LostRun:
    return LostRun(
        int(row["first_seq"]), int(row["last_seq"]), int(row["samples"]), int(row["time"])
    )
