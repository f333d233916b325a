"""Dates and names of a certificate, floor 3: one that nobody believes any more, too.

The agent's machine has no package for certificates, and Python's `ssl` tells the dates of a
certificate only after it has believed it: an expired one, of which the date matters most, it does
not show. So the few fields are read here, from the DER structure (RFC 5280, section 4.1)::

    SEQUENCE { SEQUENCE { [0] version, serial, algorithm, issuer,
                          SEQUENCE { not before, not after }, subject, ... }, ... }

Nothing is verified here: that is what `ssl` does.
"""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

__all__ = ["Certificate", "parse_certificate", "read_certificate"]

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
#: 2.5.4.3, the object identifier of a common name.
_COMMON_NAME: Final = b"\x55\x04\x03"
_MAX_BYTES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a person needs to know of a certificate."""

    common_name: str  #: of its owner; "" if it has none
    issuer: str  #: common name of who signed it
    not_before: datetime  #: UTC
    not_after: datetime  #: UTC


def read_certificate(path: Path) -> Certificate:
    """Read the first certificate of a PEM file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no certificate.
    """
    text = path.read_text(encoding="ascii", errors="replace")[:_MAX_BYTES]
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    start = text.find(begin)
    stop = text.find(end, start)
    if start < 0 or stop < 0:
        raise ValueError("there is no certificate (BEGIN CERTIFICATE) in it")
    return parse_certificate(ssl.PEM_cert_to_DER_cert(text[start : stop + len(end)]))


def parse_certificate(der: bytes) -> Certificate:
    """Return the fields of a DER certificate.

    Raises:
        ValueError: these bytes are no certificate.
    """
    try:
        body = _children(_children(der)[0][1])[0][1]
        fields = _children(body)
        if fields[0][0] == _VERSION:
            fields = fields[1:]
        _serial, _algorithm, issuer, validity, subject = fields[:5]
        not_before, not_after = (_time(tag, value) for tag, value in _children(validity[1])[:2])
        return Certificate(_common_name(subject[1]), _common_name(issuer[1]), not_before, not_after)
    except (IndexError, ValueError) as error:
        raise ValueError(f"this is no certificate: {error}") from error


def _children(data: bytes) -> list[tuple[int, bytes]]:
    """Return tag and content of each element, in order."""
    found = []
    at = 0
    while at < len(data):
        tag, size = data[at], data[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            if not 1 <= count <= 4:
                raise ValueError("a length that DER does not know")
            size = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + size > len(data):
            raise ValueError("it breaks off")
        found.append((tag, data[at : at + size]))
        at += size
    return found


def _time(tag: int, value: bytes) -> datetime:
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        # RFC 5280: two digits of 50 and more are of the last century.
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError(f"tag {tag} is no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _common_name(name: bytes) -> str:
    for _, part in _children(name):
        for tag, pair in _children(part):
            if tag != _SEQUENCE:
                continue
            kind, value = _children(pair)[:2]
            if kind[1] == _COMMON_NAME:
                return value[1].decode("utf-8", errors="replace")
    return ""
