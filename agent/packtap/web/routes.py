"""The routes: one page, its files, and what it asks for. GET and HEAD only; `Guard` comes before.

Everything that reads a file runs in a few threads, so that one long question delays no other and a
hundred cannot take the machine. Live data is a stream of server-sent events: at least one each
`_BEAT_S`, so that a browser notices a lost connection.
"""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from importlib import resources
from typing import Any, Final, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from packtap import __version__
from packtap.config import WebConfig
from packtap.errors import PacktapError
from packtap.web.asked import key_of, number_of
from packtap.web.downloads import Downloads
from packtap.web.guard import Guard, known_hosts
from packtap.web.missing import MissingError
from packtap.web.sources import Sources
from packtap.web.threads import Threads

__all__ = ["MAX_POINTS", "make_app"]

T = TypeVar("T")

MAX_POINTS: Final = 2000
_POLL_S: Final = 0.4
_BEAT_S: Final = 3.0
_MAX_STREAMS: Final = 40
_YEAR_MS: Final = 366 * 86_400_000
_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "md": "text/plain; charset=utf-8",
}


def make_app(
    config: WebConfig,
    token: str | None,
    stopping: Callable[[], bool] = lambda: False,
    sources: Sources | None = None,
    threads: Threads | None = None,
) -> Guard:
    """Return the page as an ASGI application.

    Args:
        config: which files, which names.
        token: what a visitor must give; None: nothing.
        stopping: turns true when streams are to end.
        sources: in place of those of the configuration.
        threads: in which files are read.
    """
    page = _Page(sources or Sources(config), stopping, threads or Threads())
    routes = [
        Route("/", page.index),
        Route("/api/packs", page.packs),
        Route("/api/pack", page.pack),
        Route("/api/history", page.history),
        Route("/api/events", page.events),
        Route("/api/readings.csv", page.downloads.readings),
        Route("/api/report", page.downloads.report),
        Route("/api/flights", page.downloads.flights),
        Route("/api/flight", page.downloads.flight),
        Route("/api/stream", page.stream),
        Route("/static/{version}/{name:path}", page.static),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(GZipMiddleware, minimum_size=1000, compresslevel=5)],
        exception_handlers={PacktapError: _no_answer, HTTPException: _refused},
    )
    return Guard(app, token, known_hosts(config.bind, config.hosts))


class _Page:
    def __init__(self, sources: Sources, stopping: Callable[[], bool], threads: Threads) -> None:
        self._sources = sources
        self._stopping = stopping
        self._files = _static_files()
        self._version = _version_of(self._files)
        self._streams = 0
        self._threads = threads
        self.downloads = Downloads(sources, self._in_thread, stopping)

    async def index(self, request: Request) -> Response:
        del request
        page = self._files["index.html"].replace(b"{static}", f"static/{self._version}".encode())
        page = page.replace(b"{version}", __version__.encode())
        return Response(page, media_type=_TYPES["html"], headers={"cache-control": "no-cache"})

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if request.path_params["version"] != self._version or name not in self._files:
            raise HTTPException(404, "There is no such file; load the page again.")
        return Response(
            self._files[name],
            media_type=_TYPES[name.rpartition(".")[2]],
            # The version in its path is a digest of all files: what is there never changes.
            headers={"cache-control": "public, max-age=31536000, immutable"},
        )

    async def packs(self, request: Request) -> Response:
        ask = partial(
            self._sources.packs,
            request.query_params.get("q", "")[:100],
            number_of(request, "limit", 200, 1, 1000),
        )
        return _json(await self._in_thread(ask))

    async def pack(self, request: Request) -> Response:
        return _json(await self._in_thread(partial(self._sources.pack, key_of(request))))

    async def history(self, request: Request) -> Response:
        t_to = number_of(request, "to", None, -(2**53), 2**53)
        t_from = number_of(request, "from", None, -(2**53), 2**53)
        if not 0 < t_to - t_from <= 20 * _YEAR_MS:
            raise HTTPException(400, "from must lie before to, by at most 20 years.")
        points = number_of(request, "points", 600, 2, MAX_POINTS)
        begun = time.perf_counter()
        ask = partial(self._sources.history, key_of(request), t_from, t_to, points)
        answer = _json(asdict(await self._in_thread(ask)))
        took_ms = 1000 * (time.perf_counter() - begun)
        answer.headers["server-timing"] = f"history;dur={took_ms:.1f}"
        return answer

    async def events(self, request: Request) -> Response:
        before = number_of(request, "before", 2**62, 1, 2**62)
        limit = number_of(request, "limit", 50, 1, 500)
        found = await self._in_thread(partial(self._sources.events, key_of(request), limit, before))
        return _json({"events": [{"n": n, **asdict(event)} for n, event in found]})

    async def stream(self, request: Request) -> Response:
        if self._streams >= _MAX_STREAMS:
            raise HTTPException(503, "Too many pages are open; close one.")
        query = request.query_params.get("q", "")[:100]
        if "pack" in request.query_params:
            ask = partial(self._sources.pack, key_of(request))
            lines = self._events_of("pack", ask)
        else:
            lines = self._events_of("packs", partial(self._sources.packs, query))
        return StreamingResponse(
            lines, media_type="text/event-stream", headers={"x-accel-buffering": "no"}
        )

    async def _events_of(self, name: str, ask: Callable[[], dict[str, Any]]) -> AsyncIterator[str]:
        self._streams += 1
        try:
            yield "retry: 1000\n\n"
            last, sent = "", 0.0
            while not self._stopping():
                try:
                    document = await self._in_thread(ask)
                    event, stamp = name, _stamp(document)
                except PacktapError as error:
                    document = {"error": str(error)}
                    event, stamp = "trouble", str(error)
                if stamp != last or time.monotonic() - sent > _BEAT_S:
                    last, sent = stamp, time.monotonic()
                    yield f"event: {event}\ndata: {_text(document)}\n\n"
                await asyncio.sleep(_POLL_S)
        finally:
            self._streams -= 1

    async def _in_thread(self, ask: Callable[[], T]) -> T:
        return await self._threads.run(ask)


async def _no_answer(request: Request, error: Exception) -> Response:
    del request
    status = 404 if isinstance(error, MissingError) else 503
    return JSONResponse({"error": str(error)}, status)


async def _refused(request: Request, error: Exception) -> Response:
    del request
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else ""
    return JSONResponse({"error": detail}, status)


def _stamp(document: dict[str, Any]) -> str:
    """Return what changes when there is something new; ages alone are not."""
    link = document.get("link")
    counted = link["counters"] if link else document.get("history")
    return _text([document.get("events"), document.get("state"), counted, document.get("packs")])


def _json(document: object) -> Response:
    return Response(_text(document), media_type="application/json")


def _text(document: object) -> str:
    try:
        return json.dumps(document, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_finite(document), separators=(",", ":"))


def _finite(value: Any) -> Any:
    """Return it without what JSON cannot say: a number that is none is not reported."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _static_files() -> dict[str, bytes]:
    """Return every file of the page by its name: what is not here cannot be asked for."""
    files: dict[str, bytes] = {}
    root = resources.files("packtap.web") / "static"
    folders = [("", root)]
    while folders:
        prefix, folder = folders.pop()
        for item in folder.iterdir():
            if item.is_dir():
                folders.append((f"{prefix}{item.name}/", item))
            elif item.name.rpartition(".")[2] in _TYPES:
                files[prefix + item.name] = item.read_bytes()
    return files


def _version_of(files: dict[str, bytes]) -> str:
    digest = sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + files[name] + b"\0")
    return digest.hexdigest()[:16]
