"""The door for questions to InfluxDB: one InfluxQL statement over its `/query` address.

InfluxQL in the subset that 1.x, 2.x (through a database mapping) and 3.x understand.
"""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from typing import Any

from packtap.config import InfluxConfig, read_secret
from packtap.errors import DeliveryError

__all__ = ["ask", "text_literal"]


def ask(config: InfluxConfig, query: str, bucket: str | None = None) -> list[dict[str, Any]]:
    """Return the series that a statement selects; times are UTC milliseconds.

    Args:
        config: of ingest.
        query: one statement.
        bucket: instead of the configured one.

    Raises:
        DeliveryError: the store cannot be asked, or refuses the statement.
    """
    database, _, policy = (bucket or config.bucket).partition("/")
    words = {"db": database, "q": query, "epoch": "ms"} | ({"rp": policy} if policy else {})
    headers = {}
    if config.token_file is not None:
        headers["Authorization"] = f"Token {read_secret(config.token_file)}"
    # In the body: the statement of a rollup is longer than many a proxy lets an address be.
    request = urllib.request.Request(  # noqa: S310 - the configuration takes http(s) only
        f"{config.url.rstrip('/')}/query",
        data=urllib.parse.urlencode(words).encode(),
        headers=headers,
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
    if any(series.get("partial") for series in result.get("series", [])) or result.get("partial"):
        raise DeliveryError(
            f"{config.url} cuts its answers short (max-row-limit): nothing can be said from them"
        )
    series: list[dict[str, Any]] = result.get("series", [])
    return series


def text_literal(value: str) -> str:
    """Return a string literal of InfluxQL."""
    return "'" + re.sub(r"(['\\])", r"\\\1", value) + "'"
