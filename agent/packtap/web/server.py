"""The page as a process: binds its port, says where it is, ends within seconds of a signal."""

import asyncio
import ipaddress
import logging
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvicorn

from packtap.config import WebConfig
from packtap.errors import PacktapError
from packtap.notify import Service
from packtap.web.guard import read_token
from packtap.web.routes import make_app
from packtap.web.threads import Threads

__all__ = ["serve"]

_log = logging.getLogger(__name__)

#: How long answers under way may take once a signal has come.
_GRACE_S: Final = 3
#: A question waits for others before it: at most a hundred, in four threads.
_THREADS_BEAT_S: Final = 120.0


def serve(
    config: WebConfig, announce: Callable[[str], None], service: Service | None = None
) -> None:
    """Serve the page until SIGTERM or SIGINT.

    Args:
        config: everything.
        announce: told the address once browsers can reach it.
        service: told that the page is served, and that it goes on.

    Raises:
        ConfigError: the token cannot be used.
        PacktapError: the address cannot be bound.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    token = None
    if config.token_file is not None:
        token = read_token(config.token_file, Path(folder) if folder else None)
    bound = _bind(config.bind, config.port)
    server: _Server
    life = _Life(service or Service())
    app = make_app(config, token, lambda: server.should_exit, threads=life.threads)
    server = _Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            limit_concurrency=100,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=_GRACE_S,
            callback_notify=life.go_on,
            timeout_notify=1,
        ),
        lambda: life.begin(_address(config), announce),
        life.end,
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # uvicorn raises the signal again when it has ended; the process is to end with code 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    with bound:
        server.run(sockets=[bound])
    _log.info("stopped")


class _Life:
    """Says that the page works: its loop turns, and its threads still take questions."""

    def __init__(self, service: Service) -> None:
        self.threads = Threads()
        self._service = service
        self._beat = service.beat_of("the threads that read stores")
        self._asked: asyncio.Task[None] | None = None

    def begin(self, address: str, announce: Callable[[str], None]) -> None:
        announce(address)
        self._beat(_THREADS_BEAT_S)
        self._service.ready()
        self._service.say(f"the page is at {address}")

    async def go_on(self) -> None:
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(self._ask())
        self._service.feed()

    def end(self) -> None:
        self._service.stopping()

    async def _ask(self) -> None:
        await self.threads.run(lambda: None)
        self._beat(_THREADS_BEAT_S)


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, started: Callable[[], object], ending: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._tell = started
        self._tell_end = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._tell_end()
        await super().shutdown(sockets)


def _bind(address: str, port: int) -> socket.socket:
    version = ipaddress.ip_address(address).version
    bound = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address, port))
    except OSError as error:
        bound.close()
        raise PacktapError(
            f"cannot listen on {address} port {port}: {error.strerror}. Is another page running "
            "there? Choose another one with --port or `port` in web.toml"
        ) from error
    return bound


def _address(config: WebConfig) -> str:
    host = f"[{config.bind}]" if ":" in config.bind else config.bind
    return f"http://{host}:{config.port}/"
