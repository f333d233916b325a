"""One delivery, one or many messages: what a device has bundled is taken apart."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from packtap.ingest.subscription import Delivery
from packtap.wire import DEFLATED_MOST, unbundle

__all__ = ["MAX_INFLATED", "opened"]

#: Bytes that may come out of one payload; a hundred of them are opened at a time.
MAX_INFLATED: Final = DEFLATED_MOST
_MOST: Final = 1000  #: messages; the agent bundles at most a hundred


def opened(delivery: Delivery) -> Iterator[tuple[Delivery, bool]]:
    """Yield each message as a delivery of its own, and whether it is the last of the one.

    What cannot be taken apart stays as it came: it is refused as a whole, with its bytes.
    """
    try:
        payloads = unbundle(delivery.payload, MAX_INFLATED)
    except ValueError:
        payloads = []
    if not 1 < len(payloads) <= _MOST:
        whole = payloads[0] if len(payloads) == 1 else delivery.payload
        yield replace(delivery, payload=whole), True
        return
    for number, payload in enumerate(payloads, start=1):
        yield replace(delivery, payload=payload), number == len(payloads)
