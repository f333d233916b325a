"""Would the store take a reading? Token, bucket, or the file of the embedded store, floor 4.

What is sent is a write without a single point: a comment of line protocol. A store checks token and
bucket before it looks at the lines. Seen on InfluxDB 1.6.7 behind a v2 write address; InfluxDB 2.x
and 3.x by their documented API only. VictoriaMetrics says yes to everything.
"""

import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import Final

from packtap.config import InfluxConfig, IngestConfig, SqliteConfig, read_secret
from packtap.doctor.findings import Check, failed, not_tried, passed
from packtap.doctor.host import room_check
from packtap.errors import ConfigError

__all__ = ["STORE_BUDGET_S", "STORE_CHECKS", "store_checks", "untried_store_checks"]

#: Names of the checks, in order.
STORE_CHECKS: Final = ("store answers", "store token and bucket")

#: One write without a point; a healthy store answers within milliseconds.
STORE_BUDGET_S: Final = 5.0
_NO_POINTS: Final = b"# packtap doctor: a write without points\n"
_TAKEN: Final = 204
#: What a store may say of a body without points, which it looks at last. Believed only with a
#: header of its own: any web server can answer so.
_NO_LINES: Final = frozenset({200, 400, 422})
_STORE_HEADER: Final = "x-influxdb-"

#: Status -> what it means and what to do.
_REFUSALS: Final = {
    401: ("The token is not accepted.", "Check influx.token_file: a token of this store."),
    403: (
        "The token may not write to this bucket.",
        "Give the token write access to influx.bucket, or use another.",
    ),
    404: (
        "There is no such bucket or organisation, or no v2 write address.",
        "Check influx.bucket, influx.org and influx.url; make the bucket.",
    ),
}


def store_checks(config: IngestConfig) -> Iterator[Check]:
    """Yield the checks of the store behind ingest."""
    if config.influx is not None:
        yield from _influx(config.influx)
    elif config.sqlite is not None:
        yield from _sqlite(config.sqlite)


def untried_store_checks(why: str) -> list[Check]:
    """Return all of them as not tried."""
    return [not_tried(name, why) for name in STORE_CHECKS]


def _influx(config: InfluxConfig) -> Iterator[Check]:
    answers, token = STORE_CHECKS
    try:
        status, words, is_store = _write_nothing(config)
    except (OSError, ValueError, HTTPException, ConfigError) as error:
        reason = getattr(error, "reason", error)
        yield failed(
            answers,
            f"{config.url}: {getattr(reason, 'strerror', None) or reason}",
            "The store cannot be reached, or the secret for it cannot be read.",
            "Check influx.url and influx.token_file, and that the store runs.",
        )
        yield not_tried(token, "the store does not answer")
        return
    yield passed(answers, f"{config.url} answers")
    if status == _TAKEN or (status in _NO_LINES and is_store):
        yield passed(token, f"bucket {config.bucket} takes a write (status {status})")
        return
    means, next_step = _REFUSALS.get(
        status,
        ("This is no answer of a write address.", "Check influx.url, and the store's own log."),
    )
    yield failed(token, f"status {status}: {words}", means, next_step)


def _write_nothing(config: InfluxConfig) -> tuple[int, str, bool]:
    """Return the status, the store's words, and whether it is a store that says so."""
    query = urllib.parse.urlencode({"org": config.org, "bucket": config.bucket, "precision": "ms"})
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    if config.token_file is not None:
        headers["Authorization"] = f"Token {read_secret(config.token_file)}"
    request = urllib.request.Request(  # noqa: S310 - the configuration takes http and https only
        f"{config.url.rstrip('/')}/api/v2/write?{query}", data=_NO_POINTS, headers=headers
    )
    try:
        with urllib.request.urlopen(request, timeout=STORE_BUDGET_S) as answer:  # noqa: S310
            return answer.status, "", _is_store(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            words = error.read(300).decode("utf-8", errors="replace")
            return (
                error.code,
                " ".join(words.split()) or str(error.reason),
                _is_store(error.headers),
            )


def _is_store(headers: Message) -> bool:
    return any(name.lower().startswith(_STORE_HEADER) for name in headers)


def _sqlite(config: SqliteConfig) -> Iterator[Check]:
    answers, token = STORE_CHECKS
    folder: Path = next((each for each in config.path.absolute().parents if each.is_dir()), Path())
    place = config.path if config.path.exists() else folder
    if os.access(place, os.W_OK):
        yield passed(answers, f"{config.path} can be written")
    else:
        yield failed(
            answers,
            f"{place} may not be written by this user",
            "Ingest could not store a reading here.",
            "Give the folder to the user of ingest, or run the doctor as that user.",
        )
    yield not_tried(token, "the embedded store has none")
    yield room_check(config.path, config.max_bytes, "sqlite.max_mb")
