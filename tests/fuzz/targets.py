"""What strangers hand to packtap, each as a function of bytes that must hold for every input.

A function returns, or fails with an AssertionError or whatever escaped. `run.py` drives them with a
coverage-guided fuzzer; `test_corpus.py` replays what that has found, without it.
"""

import asyncio
import io
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_from_bytes

from ninebot_bms import read_capture
from ninebot_bms.framer import Framer, Reject
from packtap.certificates import parse_certificate
from packtap.config import WebConfig
from packtap.config.files import Kind, inspect_file
from packtap.errors import FleetError
from packtap.fleet.enrolment import read_enrolment
from packtap.ingest.decode import decode
from packtap.ingest.sinks import KeptForLater, Refused
from packtap.points import delivery_lines, line_protocol, points_of
from packtap.web import make_app
from packtap.wire import DEFLATED_MOST, unbundle

__all__ = ["TARGETS"]

_NOW_MS: Final = 1_790_000_000_000
_KINDS: Final = ("readings", "event", "health", "link")
_ROUTES: Final = (
    "packs", "pack", "history", "events", "readings.csv", "report", "flights", "flight", "stream",
)  # fmt: skip


def framer(data: bytes) -> None:
    """Every byte is in a frame or a reject, and it does not matter how the bytes are cut."""
    whole, pieces = Framer(), Framer()
    at = data[0] % 17 + 1 if data else 1
    found = [*whole.receive_data(data), *whole.close()]
    cut = [
        each
        for start in range(0, len(data), at)
        for each in pieces.receive_data(data[start : start + at])
    ]
    assert [*cut, *pieces.close()] == found
    position = 0
    for each in found:
        assert data.startswith(each.raw, position)
        position += each.size if isinstance(each, Reject) else len(each.raw)
    assert position == len(data)


def capture(data: bytes) -> None:
    """No content raises, and what is understood comes in whole chunks."""
    for chunk in read_capture(io.BytesIO(data)):
        assert chunk.data


def configuration(data: bytes) -> None:
    """A file is a configuration, or every mistake in it has words."""
    with _file(data) as path:
        for kind in (None, *Kind):
            found = inspect_file(path, kind)
            assert (found.config is None) is bool(found.problems or found.unsure)
            assert all(problem.text.strip() for problem in found.problems)


def enrolment(data: bytes) -> None:
    """An enrolment file is one, or is refused."""
    with _file(data) as path:
        try:
            read = read_enrolment(path)
        except FleetError:
            return
    assert read.agent
    assert "/" not in read.agent


def certificate(data: bytes) -> None:
    """A certificate is one, or is refused."""
    try:
        read = parse_certificate(data)
    except ValueError:
        return
    assert read.not_after.tzinfo is not None


def ingest(data: bytes) -> None:
    """A payload is refused with words, or becomes lines that hold nothing but themselves."""
    kind = _KINDS[data[0] % len(_KINDS)] if data else "link"
    topic = f"packtap/v1/workshop/tap-01/main/{kind}"
    try:
        decoded = decode(topic, data[1:], _NOW_MS, lambda: True)
    except (Refused, KeptForLater) as fate:
        assert fate.reason
        assert len(fate.reason) < 1000
        return
    assert decoded is not None
    lines = [line_protocol(point) for point in points_of(decoded.topic, decoded.message).points]
    lines += delivery_lines(decoded.topic, decoded.message)
    for line in lines:
        assert "\n" not in line
        assert ",agent=tap-01," in line


def bundle(data: bytes) -> None:
    """What is deflated comes apart within its bound, or is refused."""
    try:
        parts = unbundle(data, DEFLATED_MOST)
    except ValueError:
        return
    assert parts
    assert sum(map(len, parts)) <= max(DEFLATED_MOST, len(data))


def web(data: bytes) -> None:
    """Whatever is asked, the page answers without a fault of its own, and with its headers."""
    route = _ROUTES[data[0] % len(_ROUTES)] if data else "packs"
    query = quote_from_bytes(data[1:], safe="=&%+")
    status, headers = _loop().run_until_complete(_get(f"/api/{route}", query.encode()))
    assert status < 500
    assert b"content-security-policy" in headers


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    each.__name__: each
    for each in (framer, capture, configuration, enrolment, certificate, bundle, ingest, web)
}


class _file:  # noqa: N801 - used as a function
    """A file in memory with these bytes."""

    def __init__(self, data: bytes) -> None:
        self._number = os.memfd_create("fuzz")
        os.fchmod(self._number, 0o600)
        with os.fdopen(os.dup(self._number), "wb") as file:
            file.write(data)

    def __enter__(self) -> Path:
        return Path(f"/proc/self/fd/{self._number}")

    def __exit__(self, *_: object) -> None:
        os.close(self._number)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """One for all requests, as a server has."""
    return asyncio.new_event_loop()


@cache
def _page() -> Any:
    from web_data import fill, readings_of_days

    folder = Path(tempfile.mkdtemp(prefix="packtap-fuzz-"))
    fill(folder / "packtap.db", readings_of_days(_NOW_MS, 1, 0.02))
    config = WebConfig(stores=(folder / "packtap.db",), now_files=(folder / "now.json",))
    return make_app(config, None, lambda: True)


async def _get(path: str, query: bytes) -> tuple[int, dict[bytes, bytes]]:
    sent: list[dict[str, Any]] = []

    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:  # a visitor who stays until the answer is there
            await asyncio.Event().wait()
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await _page()(scope, receive, send)
    start = next(message for message in sent if message["type"] == "http.response.start")
    return start["status"], dict(start["headers"])
