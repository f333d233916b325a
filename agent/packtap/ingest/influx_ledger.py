"""Reads back from InfluxDB which numbers have arrived: measurements `delivery` and `gap`.

InfluxQL in the subset that 1.x, 2.x (through a database mapping) and 3.x understand, over their
`/query` address. Complete series cost one row each; only of one with holes the numbers are read.
"""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from typing import Any, Final

from packtap.config import InfluxConfig, read_secret
from packtap.errors import DeliveryError
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
            )

    def _runs(self, key: _Key, total: Mapping[str, Any]) -> list[Run]:
        low, high = int(total["low"]), int(total["high"])
        if int(total["n"]) == high - low + 1:
            return [Run(low, high)]
        only = " AND ".join(
            f'"{name}" = {_text(value)}' for name, value in zip(_TAGS, key, strict=True)
        )
        rows = self._by_key('SELECT "seq" FROM "delivery"', only).get(key, [])
        return joined(sorted(int(row["seq"]) for row in rows))

    def _by_key(self, select: str, only: str = "") -> dict[_Key, list[dict[str, Any]]]:
        conditions = [f"time >= {self._since_ms}ms"] + ([only] if only else [])
        answer = self._ask(f"{select} WHERE {' AND '.join(conditions)} GROUP BY {_BY}")
        found: dict[_Key, list[dict[str, Any]]] = {}
        for series in answer:
            tags = series["tags"]
            key = (tags["site"], tags["agent"], tags["bus"], tags["store"])
            found[key] = [
                dict(zip(series["columns"], row, strict=True)) for row in series["values"]
            ]
        return found

    def _ask(self, query: str) -> list[dict[str, Any]]:
        config = self._config
        database, _, policy = config.bucket.partition("/")
        words = {"db": database, "q": query, "epoch": "ms"} | ({"rp": policy} if policy else {})
        headers = {}
        if config.token_file is not None:
            headers["Authorization"] = f"Token {read_secret(config.token_file)}"
        request = urllib.request.Request(  # noqa: S310 - the configuration takes http(s) only
            f"{config.url.rstrip('/')}/query?{urllib.parse.urlencode(words)}", headers=headers
        )
        try:
            with urllib.request.urlopen(request, timeout=config.timeout_s) as answer:  # noqa: S310
                result = json.load(answer)["results"][0]
        except urllib.error.HTTPError as exc:
            with exc:
                said = " ".join(exc.read(300).decode(errors="replace").split())
            raise DeliveryError(
                f"{config.url} answers {exc.code} to a query: {said or exc.reason}; check "
                "influx.url, influx.bucket and that the token may read (2.x: map the bucket to a "
                "database)"
            ) from exc
        except (OSError, HTTPException, ValueError, LookupError, TypeError) as exc:
            reason = getattr(exc, "reason", None) or exc
            raise DeliveryError(f"{config.url} gives no answer to a query: {reason}") from exc
        if "error" in result:
            raise DeliveryError(f"{config.url} refuses a query: {result['error']}")
        series: list[dict[str, Any]] = result.get("series", [])
        return series


def _lost(row: Mapping[str, Any]) -> LostRun:
    return LostRun(
        int(row["first_seq"]), int(row["last_seq"]), int(row["samples"]), int(row["time"])
    )


def _text(value: str) -> str:
    """Return a string literal of InfluxQL."""
    return "'" + re.sub(r"(['\\])", r"\\\1", value) + "'"
