"""Where the page gets everything: stores opened read-only, and now-files.

A store is opened for each question and closed again: an SQLite connection belongs to one thread,
questions come from many, and a store may be set aside or replaced at any time. Opening costs about
a millisecond. A store that cannot be read is a line on the page, not an error of the whole.

A pack is known by (agent, bus, pack): where an agent's own store and the fleet's hold the same, the
one with the later reading is asked.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from packtap.clock import boot_id, boot_ms, utc_ms
from packtap.config import WebConfig
from packtap.errors import PacktapError, StoreError
from packtap.model import Value
from packtap.now_file import read_now
from packtap.store import Assumed, History, PackSummary, Store, StoredEvent, StoredReading
from packtap.web.fleet import PLACEHOLDER, Row, ranked, without_passed_names
from packtap.web.flights import Flights
from packtap.web.missing import MissingError
from packtap.web.view import of_now, of_store

__all__ = ["Key", "Sources", "UnknownPackError"]

T = TypeVar("T")

#: An agent writes its now-file once a second; the same bound as in `packtap watch`.
_HANGS_S: Final = 10.0
#: Questions about all packs are asked of a store at most so often, seconds.
_FRESH_S: Final = 1.0
_MAX_NOW_BYTES: Final = 4_000_000


class UnknownPackError(MissingError):
    """No store and no agent knows this pack."""


@dataclass(frozen=True, slots=True)
class Key:
    """Names of a pack. `pack` is "" while an agent has not heard who its pack is."""

    agent: str
    bus: str
    pack: str


@dataclass(frozen=True, slots=True)
class _Now:
    """A now-document and how it stands.

    Attributes:
        late_s: seconds since it was written.
        trouble: why it is not the present; "" if it is.
    """

    document: dict[str, Any]
    late_s: float
    trouble: str

    @property
    def key(self) -> Key:
        """Whose it is."""
        names = (self.document.get(name) for name in ("agent", "bus", "pack"))
        return Key(*(name if isinstance(name, str) else "" for name in names))


class Sources:
    """Answers the page's questions; every method may be called from any thread.

    Args:
        config: which files.
        now_ms: UTC milliseconds, by this machine.
    """

    def __init__(self, config: WebConfig, now_ms: Callable[[], int] = utc_ms) -> None:
        self._config = config
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._summaries: dict[Path, tuple[float, list[PackSummary]]] = {}
        self._latest: dict[tuple[Path, Key], tuple[int, dict[str, tuple[Value, int]]]] = {}

    def packs(self, query: str = "", limit: int = 200) -> dict[str, Any]:
        """Return the packs, worst first, and what cannot be read.

        Args:
            query: part of a serial, agent or bus.
            limit: at most so many.
        """
        found, problems = self._summed_up()
        nows, more = self._nows()
        rows: dict[Key, Row] = {}
        for key, (path, summary) in found.items():
            latest = self._latest_of(path, key, summary)
            rows[key] = Row.of_store(summary, latest, self._now_ms())
        for now in nows:
            if not now.trouble:
                rows[now.key] = Row.of_now(of_now(now.document, now.late_s))
        known = without_passed_names(ranked(rows.values()))
        chosen = [row for row in known if row.matches(query)]
        return {
            "t_ms": self._now_ms(),
            "notice": self._config.notice,
            "total": len(known),
            "matching": len(chosen),
            "packs": [row.as_document() for row in chosen[:limit]],
            "problems": problems + more,
        }

    def pack(self, key: Key) -> dict[str, Any]:
        """Return everything about one pack now.

        Raises:
            UnknownPackError: nobody knows it.
        """
        found, problems = self._summed_up()
        nows, more = self._nows()
        stored = found.get(key)
        now = next((item for item in nows if item.key == key), None)
        if now is not None and (not now.trouble or stored is None):
            shown = of_now(now.document, now.late_s)
            shown["state"] = "silent" if now.trouble else "live"
            shown["state_text"] = now.trouble
        elif stored is not None:
            shown = self._stored(key, *stored)
            shown["state_text"] = now.trouble if now is not None else ""
        else:
            raise UnknownPackError(
                "No store and no running agent knows this pack."
                + (f" {'; '.join(problems + more)}" if problems or more else "")
            )
        summary = stored[1] if stored is not None else None
        return {
            **shown,
            "moved_to": _moved_to(key, nows),
            "t_ms": self._now_ms(),
            "notice": self._config.notice,
            "problems": problems + more,
            "history": summary
            and {
                "first_ms": summary.first_ms,
                "last_ms": summary.last_ms,
                "readings": summary.readings,
                "undated": summary.undated,
            },
        }

    def history(self, key: Key, t_from: int, t_to: int, points: int) -> History:
        """Return a plot; undated readings of this boot lie where this machine's clock puts them."""
        assumed = Assumed(boot_id(), self._now_ms() - boot_ms())
        return self._ask(key, lambda store: store.history(key.pack, t_from, t_to, points, assumed))

    def events(self, key: Key, limit: int, before: int | None) -> list[tuple[int, StoredEvent]]:
        """Return the latest events, latest first, each with its number."""
        return self._ask(key, lambda store: store.recent_events(key.pack, limit, before))

    def readings(self, key: Key, t_from: int, t_to: int) -> list[StoredReading]:
        """Return the readings of a short range."""
        return self._ask(key, lambda store: list(store.readings(key.pack, t_from, t_to)))

    def next_reading(self, key: Key, t_from: int, t_to: int) -> int | None:
        """Return a time no later than the first reading of a range; None if it has none."""
        return self._ask(key, lambda store: store.next_reading(key.pack, t_from, t_to))

    def flights(self, key: Key) -> Flights:
        """Return the flight recordings beside the store of a pack."""
        return Flights(self._store_of(key)[0])

    def report(self, key: Key, flight: str | None) -> str:
        """Return the report of a pack, or of one of its flight recordings, as a page."""
        # Here: it brings the whole analysis, which no other question needs.
        from packtap.web.reporting import report_of_flight, report_of_store

        path, summary = self._store_of(key)
        notice = self._config.notice
        if flight is not None:
            return report_of_flight(Flights(path), flight, notice)
        nows, _ = self._nows()
        live = (now.document for now in nows if now.key == key and not now.trouble)
        return report_of_store(path, summary, next(live, None), notice)

    def _store_of(self, key: Key) -> tuple[Path, PackSummary]:
        found, problems = self._summed_up()
        if key not in found:
            raise UnknownPackError("; ".join(["No store knows this pack yet.", *problems]))
        return found[key]

    def _ask(self, key: Key, question: Callable[[Store], T]) -> T:
        with Store.open_read_only(self._store_of(key)[0]) as store:
            return question(store)

    def _stored(self, key: Key, path: Path, summary: PackSummary) -> dict[str, Any]:
        with Store.open_read_only(path) as store:
            events, health = store.raised(key.pack), store.latest_health(key.pack)
        shown = of_store(
            summary, self._latest_of(path, key, summary), events, health, self._now_ms()
        )
        shown["state"] = "stored"
        return shown

    def _summed_up(self) -> tuple[dict[Key, tuple[Path, PackSummary]], list[str]]:
        """Return each pack with the store that knows it best, and what cannot be read."""
        found: dict[Key, tuple[Path, PackSummary]] = {}
        problems = []
        for path in _expanded(self._config.stores):
            try:
                summaries = self._summaries_of(path)
            except StoreError as error:
                problems.append(str(error))
                continue
            for summary in summaries:
                key = Key(summary.agent, summary.bus, summary.pack)
                other = found.get(key)
                if other is None or (summary.last_ms or 0) > (other[1].last_ms or 0):
                    found[key] = (path, summary)
        return found, problems

    def _summaries_of(self, path: Path) -> list[PackSummary]:
        with self._lock:
            known = self._summaries.get(path)
        if known is not None and time.monotonic() - known[0] < _FRESH_S:
            return known[1]
        asked = time.monotonic()
        with Store.open_read_only(path) as store:
            summaries = store.packs()
        with self._lock:
            self._summaries[path] = (asked, summaries)
        return summaries

    def _latest_of(
        self, path: Path, key: Key, summary: PackSummary
    ) -> Mapping[str, tuple[Value, int]]:
        with self._lock:
            known = self._latest.get((path, key))
        if known is not None and known[0] == summary.readings:
            return known[1]
        with Store.open_read_only(path) as store:
            latest = store.latest(key.pack, key.agent, key.bus)
        with self._lock:
            self._latest[path, key] = (summary.readings, latest)
        return latest

    def _nows(self) -> tuple[list[_Now], list[str]]:
        nows, problems = [], []
        for path in _expanded(self._config.now_files):
            try:
                now = _read(path)
            except PacktapError as error:
                problems.append(str(error))
                continue
            if now is not None:
                nows.append(now)
                if now.trouble:
                    problems.append(f"{now.key.agent}/{now.key.bus}: {now.trouble}")
        return nows, problems


def _moved_to(key: Key, nows: Sequence[_Now]) -> str | None:
    """Return the name that a pack has got since it was heard without one."""
    if key.pack and not key.pack.startswith(PLACEHOLDER):
        return None
    for now in nows:
        is_same_bus = (now.key.agent, now.key.bus) == (key.agent, key.bus)
        if is_same_bus and not now.trouble and now.key.pack not in ("", key.pack):
            return now.key.pack
    return None


def _read(path: Path) -> _Now | None:
    try:
        if path.stat().st_size > _MAX_NOW_BYTES:
            raise PacktapError(f"{path} is not written by a packtap agent")
    except OSError:
        return None
    document = read_now(path)
    if document is None:
        return None
    late_s = boot_ms() / 1000 - float(document["boot_s"])  # type: ignore[arg-type]
    if document["boot"] != boot_id():
        return _Now(document, 0.0, "what it last said is from before this machine was started anew")
    trouble = ""
    if late_s > _HANGS_S:
        trouble = f"the agent last wrote {late_s:.0f} s ago: it was killed, or hangs"
    return _Now(document, max(late_s, 0.0), trouble)


def _expanded(patterns: Sequence[Path]) -> Iterator[Path]:
    for pattern in patterns:
        text = str(pattern)
        if any(sign in text for sign in "*?["):
            root = Path(pattern.anchor)
            yield from sorted(root.glob(str(pattern.relative_to(root))))
        else:
            yield pattern
