"""A recording through the same path as live data, floor 4.

The order of steps is that of `packtap.agent`: let the bus's time pass, let the tap's time pass,
take the chunk. Nothing in it asks what time it is, so the same bytes give the same events. A clock
of the recorder that stepped is made steady first, as the agent's boot clock is.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ninebot_bms import Chunk, Observer
from packtap.analysis.recorder_clock import RecorderClock
from packtap.tap import Digest, Tap

__all__ = ["replay"]


def replay(chunks: Iterable[Chunk], tap: Tap, observer: Observer) -> Iterator[Digest]:
    """Yield what each chunk of the recording gave.

    Args:
        chunks: in the order in which they were recorded; times may be missing.
        tap: judges.
        observer: finds frames and matches replies; its counts are the caller's to read.
    """
    clock = RecorderClock()
    t = None
    for chunk in chunks:
        t, stepped = clock.steady(chunk.t)
        if stepped is not None:
            yield Digest(events=tap.report(stepped))
        if t is not None:
            yield _as_recorded(tap.digest(observer.idle(t)), clock)
            yield _as_recorded(tap.idle(t), clock)
        yield _as_recorded(tap.digest(observer.receive_data(chunk.data, chunk.line, t)), clock)
    yield _as_recorded(tap.digest(observer.close()), clock)
    yield _as_recorded(tap.idle(None), clock)
    if t is not None:
        tap.evidence.judged.add("timestamp_anomaly")


def _as_recorded(digest: Digest, clock: RecorderClock) -> Digest:
    """Give events the time that the capture's own clock showed."""
    if digest.events:
        digest.events = [replace(event, t=clock.recorded(event.t)) for event in digest.events]
    return digest
