"""A recording through the same path as live data, floor 4.

The order of steps is that of `packtap.agent`: let the bus's time pass, let the tap's time pass,
take the chunk. Nothing in it asks what time it is, so the same bytes give the same events.
"""

from collections.abc import Iterable, Iterator

from ninebot_bms import Chunk, Observer
from packtap.tap import Digest, Tap

__all__ = ["replay"]


def replay(chunks: Iterable[Chunk], tap: Tap, observer: Observer) -> Iterator[Digest]:
    """Yield what each chunk of the recording gave.

    Args:
        chunks: in the order in which they were recorded; times may be missing.
        tap: judges.
        observer: finds frames and matches replies; its counts are the caller's to read.
    """
    for chunk in chunks:
        if chunk.t is not None:
            yield tap.digest(observer.idle(chunk.t))
            yield tap.idle(chunk.t)
        yield tap.digest(observer.receive_data(chunk.data, chunk.line, chunk.t))
    yield tap.digest(observer.close())
    yield tap.idle(None)
