"""Ingest put together from its configuration, checked as far as that is possible at the start."""

from typing import TYPE_CHECKING, Final

from packtap.config import InfluxConfig, IngestConfig, read_secret
from packtap.errors import ConfigError
from packtap.ingest.dead_letter import DeadLetters
from packtap.ingest.gate import Gate
from packtap.ingest.loop import Ingest
from packtap.ingest.sinks import Sink
from packtap.ingest.subscription import Limits, Subscription
from packtap.notify import Service

if TYPE_CHECKING:
    from packtap.ingest.influx import InfluxSink

__all__ = ["influx_sink", "ingest_of"]


#: A sign of life of the loop follows within: so long for everything but the store, and so many
#: times the store's own time-out (its addresses, its answer).
_TURN_S: Final = 150.0
_WRITES: Final = 10


def ingest_of(config: IngestConfig, service: Service | None = None) -> Ingest:
    """Return an ingest that is ready to start.

    Broker and store need not be there yet; files must be usable now.

    Args:
        config: everything.
        service: hears whether loop and connection live.

    Raises:
        ConfigError: a secret, certificate or store setting cannot be used.
        StoreError: the SQLite file or the dead-letter file cannot be written.
    """
    letters = DeadLetters(config.dead_letter.path, config.dead_letter.max_bytes)
    letters.check()
    service = service or Service()
    beat = service.beat_of("the loop that stores")
    write_s = 0.0 if config.influx is None else config.influx.timeout_s
    within_s = _TURN_S + _WRITES * write_s
    subscription = Subscription(config.mqtt, service.beat_of("the connection to the broker"))
    limits = Limits(messages=config.batch.max_messages, wait_s=config.batch.wait_s)
    return Ingest(
        subscription,
        _sink(config),
        letters,
        limits,
        gate=Gate(config.per_agent),
        name=config.mqtt.client_id,
        beat=lambda: beat(within_s),
    )


def _sink(config: IngestConfig) -> Sink:
    if config.influx is not None:
        return influx_sink(config.influx)
    if config.sqlite is not None:
        from packtap.ingest.sqlite import SqliteSink

        sink = SqliteSink(config.sqlite.path, config.sqlite.max_bytes)
        sink.check()
        return sink
    raise ConfigError(["sqlite, influx: exactly one store is needed"], "ingest")


def influx_sink(config: InfluxConfig) -> "InfluxSink":
    """Return the writer to a store's bucket.

    Raises:
        ConfigError: the token cannot be used.
    """
    # Half a second of import and 30 MB that the embedded store does not need.
    from packtap.ingest.influx import InfluxSink, InfluxTarget

    token = "" if config.token_file is None else read_secret(config.token_file)
    if not token.isascii() or not token.isprintable():
        raise ConfigError(["a token is plain ASCII, this is not"], str(config.token_file))
    return InfluxSink(
        InfluxTarget(config.url.rstrip("/"), token, config.org, config.bucket, config.timeout_s)
    )
