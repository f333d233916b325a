"""The page as a process: binds its port, says where it is, ends within seconds of a signal."""

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
from packtap.web.guard import read_token
from packtap.web.routes import make_app

__all__ = ["serve"]

_log = logging.getLogger(__name__)

#: How long answers under way may take once a signal has come.
_GRACE_S: Final = 3


def serve(config: WebConfig, announce: Callable[[str], None]) -> None:
    """Serve the page until SIGTERM or SIGINT.

    Args:
        config: everything.
        announce: told the address once browsers can reach it.

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
    app = make_app(config, token, lambda: server.should_exit)
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
        ),
        lambda: announce(_address(config)),
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # uvicorn raises the signal again when it has ended; the process is to end with code 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    with bound:
        server.run(sockets=[bound])
    _log.info("stopped")


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell()


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
