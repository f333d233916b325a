"""Ingest put together from its configuration, checked as far as that is possible at the start."""

from packtap.config import InfluxConfig, IngestConfig, read_secret
from packtap.errors import ConfigError
from packtap.ingest.dead_letter import DeadLetters
from packtap.ingest.loop import Ingest
from packtap.ingest.sinks import Sink
from packtap.ingest.subscription import Limits, Subscription

__all__ = ["ingest_of"]


def ingest_of(config: IngestConfig) -> Ingest:
    """Return an ingest that is ready to start.

    Broker and store need not be there yet; files must be usable now.

    Raises:
        ConfigError: a secret, certificate or store setting cannot be used.
        StoreError: the SQLite file or the dead-letter file cannot be written.
    """
    letters = DeadLetters(config.dead_letter.path, config.dead_letter.max_bytes)
    letters.check()
    subscription = Subscription(config.mqtt)
    limits = Limits(messages=config.batch.max_messages, wait_s=config.batch.wait_s)
    return Ingest(subscription, _sink(config), letters, limits)


def _sink(config: IngestConfig) -> Sink:
    if config.influx is not None:
        return _influx(config.influx)
    if config.sqlite is not None:
        from packtap.ingest.sqlite import SqliteSink

        sink = SqliteSink(config.sqlite.path, config.sqlite.max_bytes)
        sink.check()
        return sink
    raise ConfigError(["sqlite, influx: exactly one store is needed"], "ingest")


def _influx(config: InfluxConfig) -> Sink:
    # Half a second of import and 30 MB that the embedded store does not need.
    from packtap.ingest.influx import InfluxSink, InfluxTarget

    token = "" if config.token_file is None else read_secret(config.token_file)
    if not token.isascii() or not token.isprintable():
        raise ConfigError(["a token is plain ASCII, this is not"], str(config.token_file))
    return InfluxSink(
        InfluxTarget(config.url.rstrip("/"), token, config.org, config.bucket, config.timeout_s)
    )
