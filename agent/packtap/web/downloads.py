"""What can be taken away: readings as CSV, the report, flight recordings. Streamed, piece by piece.

A report is worked out one at a time, in a thread of its own: it delays no other question for long.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from packtap.errors import PacktapError
from packtap.web.asked import file_name, key_of, number_of
from packtap.web.export import csv_head, csv_lines, hours
from packtap.web.flights import pieces
from packtap.web.sources import Key, Sources

__all__ = ["Downloads"]

T = TypeVar("T")

_MOST_NAME: Final = 200


class InThread(Protocol):
    """Runs a function in one of a few threads."""

    def __call__(self, ask: Callable[[], T]) -> Awaitable[T]:
        """Return what it returns."""


class Downloads:
    """The routes of files.

    Args:
        sources: answers.
        in_thread: runs what reads a file.
        stopping: turns true when streams are to end.
    """

    def __init__(self, sources: Sources, in_thread: InThread, stopping: Callable[[], bool]) -> None:
        self._sources = sources
        self._in_thread = in_thread
        self._stopping = stopping
        self._one_report: CapacityLimiter | None = None

    async def readings(self, request: Request) -> Response:
        """Answer with the readings of a range as CSV."""
        key = key_of(request)
        t_from = number_of(request, "from", 0, -(2**53), 2**53)
        t_to = number_of(request, "to", 2**53, -(2**53), 2**53)
        await self._in_thread(partial(self._sources.next_reading, key, t_from, t_to))
        headers = _as_file(file_name(key, ".csv"))
        kind = "text/csv; charset=utf-8"
        if request.method == "HEAD":
            return Response(media_type=kind, headers=headers)
        return StreamingResponse(self._csv(key, t_from, t_to), media_type=kind, headers=headers)

    async def report(self, request: Request) -> Response:
        """Answer with the report of a pack, or of one of its flight recordings."""
        key, name = key_of(request), request.query_params.get("flight", "")[:_MOST_NAME]
        if self._one_report is None:
            self._one_report = CapacityLimiter(1)
        ask = partial(self._sources.report, key, name or None)
        page = await anyio.to_thread.run_sync(ask, limiter=self._one_report)
        ending = f"-{name.removesuffix('.log.gz')}.html" if name else "-report.html"
        return Response(
            page, media_type="text/html; charset=utf-8", headers=_as_file(file_name(key, ending))
        )

    async def flights(self, request: Request) -> Response:
        """Answer with the list of flight recordings beside a pack's store, latest first."""
        found = await self._in_thread(partial(self._sources.flights, key_of(request)))
        listed = await self._in_thread(found.all)
        return JSONResponse({"flights": [asdict(flight) for flight in listed]})

    async def flight(self, request: Request) -> Response:
        """Answer with one flight recording as it stands there."""
        name = request.query_params.get("flight", "")[:_MOST_NAME]
        found = await self._in_thread(partial(self._sources.flights, key_of(request)))
        opened = ExitStack()
        file, size = await self._in_thread(lambda: opened.enter_context(found.open(name)))
        headers = _as_file(name) | {"content-length": str(size)}
        if request.method == "HEAD":
            opened.close()
            return Response(media_type="application/gzip", headers=headers)
        whole = self._pieces(pieces(file, size), opened)
        return StreamingResponse(whole, media_type="application/gzip", headers=headers)

    async def _pieces(self, found: Iterator[bytes], opened: ExitStack) -> AsyncIterator[bytes]:
        with opened:
            while piece := await self._in_thread(lambda: next(found, b"")):
                yield piece

    async def _csv(self, key: Key, t_from: int, t_to: int) -> AsyncIterator[str]:
        yield csv_head()
        ranges = hours(t_from, t_to, partial(self._sources.next_reading, key))
        try:
            while (found := await self._in_thread(lambda: next(ranges, None))) is not None:
                readings = await self._in_thread(partial(self._sources.readings, key, *found))
                yield await self._in_thread(partial(csv_lines, readings))
                if self._stopping():
                    return
        except PacktapError as error:
            yield f'"incomplete: {str(error).replace(chr(34), chr(39))}"\r\n'


def _as_file(name: str) -> dict[str, Any]:
    return {"content-disposition": f'attachment; filename="{name}"'}
