"""Who gets in, and the headers of every answer: wraps the whole application.

Checked in this order, each with its own answer: the Host header (400: a foreign name that resolves
to us must not let a foreign page read ours), the method (405), the token (401, for what holds
data). The page itself, its scripts and styles hold none: they are served to everybody, so that a
browser can ask its user for the token.

Tokens are compared in constant time. A cookie is `<expiry>.<HMAC-SHA256(token, expiry)>`: who has
it can read until it expires, cannot make another one, and does not learn the token.
"""

import hmac
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from packtap.config import read_secret
from packtap.config.modes import secret_problem
from packtap.errors import ConfigError

__all__ = ["COOKIE", "SESSION_S", "Guard", "known_hosts", "read_token"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger(__name__)

COOKIE: Final = "packtap_session"
SESSION_S: Final = 30 * 86400
_TOKEN_MIN: Final = 16
_DATA: Final = "/api/"

#: On every answer. Source: the values that the Mozilla and OWASP guides recommend.
_HEADERS: Final = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        b"connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
        b"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), usb=(), serial=()"),
)


class Guard:
    """The application behind its checks.

    Args:
        app: what answers.
        token: None: nobody is asked for one.
        hosts: names that may stand in the Host header, lower case; IP addresses always may.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        app: App,
        token: str | None,
        hosts: Iterable[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._token = token
        self._hosts = frozenset(hosts)
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                present = {name for name, _ in headers}
                if b"cache-control" not in present:
                    headers.append((b"cache-control", b"no-store"))
                message["headers"] = [*headers, *_HEADERS]
            await send(message)

        refused = self._refuse(scope)
        if refused is None and scope["path"] == "/api/session" and self._token is not None:
            refused = self._session(self._token)
        await (refused or self._app)(scope, receive, send_with_headers)

    def _refuse(self, scope: Scope) -> Response | None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._is_known(host):
            _log.warning("a request for %r was refused: no name of this page", host[:100])
            return _words(
                400, "This name is not known here: add it to `hosts` in web.toml, or use the IP."
            )
        if scope["method"] not in ("GET", "HEAD"):
            return _words(405, "Nothing can be changed here: only GET and HEAD.", allow="GET, HEAD")
        if not scope["path"].startswith(_DATA):
            return None
        if headers.get(b"sec-fetch-site", b"none") not in (b"same-origin", b"none"):
            return _words(403, "Another site's page may not read this.")
        if self._token is not None and not self._is_let_in(headers, self._token):
            return _words(401, "A token is needed.", **{"www-authenticate": "Bearer"})
        return None

    def _is_known(self, host: str) -> bool:
        name = _without_port(host).lower()
        if name in self._hosts:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True

    def _is_let_in(self, headers: MutableMapping[bytes, bytes], token: str) -> bool:
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer":
            return hmac.compare_digest(given.strip(), token.encode())
        for part in headers.get(b"cookie", b"").split(b";"):
            name, _, value = part.strip().partition(b"=")
            if name == COOKIE.encode():
                return self._is_ours(value, token)
        return False

    def _is_ours(self, cookie: bytes, token: str) -> bool:
        expiry, _, mark = cookie.partition(b".")
        if not hmac.compare_digest(mark, _mark(expiry, token)):
            return False
        return int(expiry) > self._clock()

    def _session(self, token: str) -> Response:
        expiry = str(int(self._clock()) + SESSION_S)
        answer = JSONResponse({"expires_s": SESSION_S})
        answer.set_cookie(
            COOKIE,
            f"{expiry}.{_mark(expiry.encode(), token).decode()}",
            max_age=SESSION_S,
            path="/",
            httponly=True,
            samesite="strict",
        )
        return answer


def read_token(path: Path, credentials: Path | None = None) -> str:
    """Return the token in a file.

    Args:
        path: the file.
        credentials: folder in which systemd puts credentials, with modes of its own.

    Raises:
        ConfigError: unreadable, too short, or readable by others.
    """
    token = read_secret(path)
    if problem := secret_problem(path, credentials):
        raise ConfigError([problem], str(path))
    if len(token) < _TOKEN_MIN or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            [
                f"a token has {_TOKEN_MIN} or more printable ASCII characters without spaces "
                "(openssl rand -hex 24)"
            ],
            str(path),
        )
    return token


def known_hosts(bind: str, more: Iterable[str]) -> set[str]:
    """Return the names that browsers may ask for."""
    names = {"localhost", bind.lower(), *(name.lower() for name in more)}
    own = socket.gethostname().lower()
    return names | {own, f"{own}.local", own.partition(".")[0]}


def _without_port(host: str) -> str:
    if host.startswith("["):  # an IPv6 address
        name, bracket, _ = host[1:].partition("]")
        return name if bracket else ""
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _mark(expiry: bytes, token: str) -> bytes:
    return hmac.new(token.encode(), b"packtap session " + expiry, "sha256").hexdigest().encode()


def _words(status: int, text: str, **headers: str) -> Response:
    return JSONResponse({"error": text}, status, headers)
