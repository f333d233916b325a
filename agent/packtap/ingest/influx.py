"""The sink for any InfluxDB v2 write endpoint. influxdb-client stays in here.

One batch is one joined body of line protocol, written synchronously: the client's own batching
only logs a failed write, and its own retries hide it. Times are in milliseconds. Writing the same
points twice overwrites them, so a redelivery is harmless.

Tested against InfluxDB 1.6.7 through a v2 write shim and VictoriaMetrics 1.79.5; InfluxDB 2.x and
3.x by their documented API. A 400 (and 422, with which 2.x answers a partial write) in the store's
own form means that the good lines are stored and the others never will be. The same number from
something else on that port (a web server that expects TLS, a proxy) says nothing about the lines.
"""

import email.utils
import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, cast

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

from packtap.ingest.sinks import Decoded, KeptForLater, Refused, Tally, TooLarge, Why
from packtap.points import Point, delivery_lines, line_protocol, points_of, points_of_refusals

__all__ = ["InfluxSink", "InfluxTarget"]

_REFUSED: Final = frozenset({400, 422})
_TOO_LARGE: Final = 413
_MAX_REASON: Final = 300  #: characters of a store's own words
_PART: Final = 5000  #: lines of one write
_MAX_UNKNOWN: Final = 200  #: names; a hostile device must not fill the memory or the log

#: The client calls it WritePrecision and gives its members the type str.
_PRECISION: Final = cast("WritePrecision", WritePrecision.MS)
_PROOF_PRECISION: Final = cast("WritePrecision", WritePrecision.NS)

_log = logging.getLogger(__name__)

#: In every answer of InfluxDB and of VictoriaMetrics' write endpoint (whose 400 is plain text).
_STORE_HEADER: Final = "x-influxdb-"

#: What a status means and what to try. Everything else: `_status_advice`.
_ADVICE: Final[Mapping[int, str]] = {
    401: "the token is not accepted; check influx.token_file",
    403: "the token may not write this bucket; give it write permission",
    404: "bucket (or database) or address not found; create it, or check influx.url and "
    "influx.bucket",
    408: "the store gave up waiting; it may be overloaded",
    429: "the store asks for less; it is over its limit",
    502: "a proxy answers but the store behind it does not; start the store",
    503: "the store is starting, stopping or overloaded",
    504: "a proxy answers but the store behind it does not in time",
}


@dataclass(frozen=True, slots=True)
class InfluxTarget:
    """Where to write.

    Attributes:
        url: base address, without /api/v2/write.
        token: secret; "" = none.
        org: organisation; any text for stores that have none.
        bucket: bucket, or `database` or `database/policy` on InfluxDB 1.8.
        timeout_s: for one write, connecting included.
    """

    url: str
    token: str
    org: str
    bucket: str
    timeout_s: float


class InfluxSink:
    """Writes batches to one bucket.

    Attributes:
        unknown: names in messages that this version does not know and left out -> how often.
    """

    def __init__(self, target: InfluxTarget) -> None:
        self._target = target
        self.unknown: dict[str, int] = {}
        self._client = InfluxDBClient(
            url=target.url,
            token=target.token,
            org=target.org,
            timeout=round(target.timeout_s * 1000),
            enable_gzip=True,
            retries=False,
        )
        self._writer = self._client.write_api(write_options=SYNCHRONOUS)

    def write(self, batch: Sequence[Decoded]) -> None:
        """Write all points of the batch as one body.

        Raises:
            Refused: the store took the good lines and will never take the others.
            TooLarge: the body is too large for the store.
            KeptForLater: the store cannot be reached, or will not take anything now.
        """
        self._send("\n".join(self._lines(batch)), _PRECISION)
        # Only now: what stands here has been stored.
        proof = [line for item in batch for line in delivery_lines(item.topic, item.message)]
        self._send("\n".join(proof), _PROOF_PRECISION)

    def note(self, ingest: str, refused: Tally, t_ms: int) -> None:
        """Write the counters as measurement `ingest`; raises as `write` does."""
        points = points_of_refusals(ingest, refused, t_ms)
        self._send("\n".join(line_protocol(point) for point in points), _PRECISION)

    def write_points(self, points: Iterable[Point]) -> int:
        """Write points that no message holds; return how many. Raises as `write` does."""
        lines = (line_protocol(point) for point in points)
        count = 0
        while part := list(islice(lines, _PART)):
            self._send("\n".join(part), _PRECISION)
            count += len(part)
        return count

    def close(self) -> None:
        """Close the connections."""
        self._client.close()  # type: ignore[no-untyped-call]

    def _send(self, body: str, precision: WritePrecision) -> None:
        if not body:
            return
        try:
            self._writer.write(
                bucket=self._target.bucket,
                org=self._target.org,
                record=body,
                write_precision=precision,
            )
        except ApiException as exc:
            raise self._answer(exc) from exc
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise KeptForLater(
                f"{self._target.url}: {_cause(exc)}",
                "the store does not answer; check that it runs, influx.url and the network",
            ) from exc

    def _lines(self, batch: Sequence[Decoded]) -> list[str]:
        lines = []
        for item in batch:
            converted = points_of(item.topic, item.message)
            lines += [line_protocol(point) for point in converted.points]
            for name in converted.unknown:
                self._count_unknown(name)
        return lines

    def _count_unknown(self, name: str) -> None:
        if name not in self.unknown:
            if len(self.unknown) >= _MAX_UNKNOWN:
                return
            _log.warning("%s is not known to this version and left out: update ingest", name)
        self.unknown[name] = self.unknown.get(name, 0) + 1

    def _answer(self, exc: ApiException) -> Refused | KeptForLater:
        status = int(exc.status or 0)
        words = _words(exc)
        if status in _REFUSED and _is_of_store(exc):
            return Refused(f"the store answers {status}: {words}", Why.STORE)
        if status == _TOO_LARGE:
            return TooLarge(f"the store answers {status}: {words}")
        return KeptForLater(
            f"{self._target.url} answers {status} {exc.reason or ''}".rstrip(),
            _ADVICE.get(status) or _status_advice(status, words),
            _retry_after_s(exc.headers, time.time()),
        )


def _is_of_store(exc: ApiException) -> bool:
    """Return whether a write endpoint says it, and not something else that speaks HTTP.

    InfluxDB 1.x and 3.x send `{"error": ...}`, 2.x `{"code": ..., "message": ...}`.
    """
    if any(str(name).lower().startswith(_STORE_HEADER) for name in exc.headers or ()):
        return True
    answer = _json_answer(_text(exc))
    return "error" in answer or answer.keys() >= {"code", "message"}


def _status_advice(status: int, words: str) -> str:
    if status in _REFUSED:
        return (
            f"this is no answer of a v2 write endpoint ({words}); check influx.url: host, port, "
            "http or https"
        )
    if status >= 500:
        return "the store has an error of its own; look into its log"
    if 300 <= status < 400:
        return "the address redirects; write the final address into influx.url"
    return "this is no answer of a v2 write endpoint; check influx.url"


def _words(exc: ApiException) -> str:
    """Return what the store says, short, in one line."""
    text = _text(exc)
    answer = _json_answer(text)
    text = str(answer.get("message") or answer.get("error") or text)
    text = " ".join(text.split())
    return text[:_MAX_REASON] or str(exc.reason or "no reason given")


def _text(exc: ApiException) -> str:
    body = exc.body
    return body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")


def _json_answer(text: str) -> dict[str, object]:
    """Return the JSON object in an answer, empty if it is none."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


#: First match along the chain of causes -> what happened. urllib3 wraps whatever goes wrong while
#: connecting into NewConnectionError, so the system's own error is looked for first.
_FAILURES: Final[tuple[tuple[tuple[type[BaseException], ...], str], ...]] = (
    ((ConnectionRefusedError,), "connection refused"),
    ((urllib3.exceptions.NameResolutionError,), "the name of the host is not known"),
    ((ConnectionError, urllib3.exceptions.ProtocolError), "connection broken off"),
    ((urllib3.exceptions.ReadTimeoutError, TimeoutError), "no answer in time"),
)


def _cause(exc: BaseException) -> str:
    """Return the kind of failure, without addresses of objects or changing numbers."""
    chain: list[BaseException] = []
    link: BaseException | None = exc
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    for kinds, words in _FAILURES:
        if any(isinstance(one, kinds) for one in chain):
            return words
    if isinstance(exc, urllib3.exceptions.SSLError):
        return f"TLS: {' '.join(str(exc).split())[:_MAX_REASON]}"
    system = next((one for one in chain if isinstance(one, OSError) and one.strerror), None)
    return str(system.strerror) if system is not None else type(exc).__name__


def _retry_after_s(headers: Mapping[str, str] | None, now_s: float) -> float | None:
    """Return the seconds of a Retry-After header (a number or a date), None without."""
    text = (headers or {}).get("Retry-After", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now_s)
    except ValueError:
        return None
