"""The configuration of ingest as values, floor 1: one dataclass a table, one field a key."""

from dataclasses import dataclass, field
from pathlib import Path

from packtap.config.broker import SharedMqttConfig
from packtap.config.keys import FILLED, MB, ContradictionError, Url, Within, about

__all__ = [
    "BatchConfig",
    "DeadLetterConfig",
    "InfluxConfig",
    "IngestConfig",
    "PerAgentConfig",
    "SqliteConfig",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluxConfig:
    """Any store with the InfluxDB v2 write endpoint, `[influx]`."""

    url: str = field(
        metadata=about("Its base address.", Url(), example="http://influx.example.org:8086")
    )
    token_file: Path | None = field(
        default=None,
        metadata=about(
            "File that holds the token, and nothing else (chmod 600); not needed by stores without "
            "one.",
            example=Path("influx-token"),
            reads_file=True,
            secret=True,
        ),
    )
    org: str = field(default="packtap", metadata=about("Organisation.", FILLED))
    bucket: str = field(
        default="packtap",
        metadata=about("Bucket; on InfluxDB 1.x DATABASE/RETENTION_POLICY.", FILLED),
    )
    rollup_bucket: str | None = field(
        default=None,
        metadata=about(
            "Bucket of the rollups, to be kept longer than the readings; default: the same one.",
            FILLED,
            example="packtap-rollups",
        ),
    )
    timeout_s: float = field(
        default=10.0, metadata=about("How long one write may take, seconds.", Within(1, 300))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteConfig:
    """The embedded store, `[sqlite]`."""

    path: Path = field(
        default=Path("/var/lib/packtap/ingest/packtap.db"), metadata=about("The SQLite file.")
    )
    max_mb: int = field(
        default=10_000,
        metadata=about(
            "Upper bound of its size; the oldest readings go first.", Within(16, 1_000_000)
        ),
    )

    @property
    def max_bytes(self) -> int:
        """The bound in bytes."""
        return self.max_mb * MB


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterConfig:
    """Messages refused for good, `[dead_letter]`."""

    path: Path = field(
        default=Path("/var/lib/packtap/ingest/dead-letter.jsonl"),
        metadata=about("One line a message, with the reason."),
    )
    max_mb: int = field(
        default=64,
        metadata=about("Upper bound of its size; the oldest go first.", Within(1, 10_000)),
    )

    @property
    def max_bytes(self) -> int:
        """The bound in bytes."""
        return self.max_mb * MB


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchConfig:
    """How many messages are written together, `[batch]`."""

    max_messages: int = field(
        default=100, metadata=about("At most so many messages in one write.", Within(1, 1000))
    )
    wait_s: float = field(
        default=0.5,
        metadata=about("A write waits at most so long for more messages.", Within(0, 60)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PerAgentConfig:
    """How much one agent may send, `[per_agent]`; beyond it messages are refused for good."""

    messages_per_s: float = field(
        default=50.0,
        metadata=about(
            "Messages that it may send a second for ever, each of 4 kB begun; a sound agent sends "
            "one in ten seconds.",
            Within(0.1, 100_000),
        ),
    )
    burst_messages: int = field(
        default=300_000,
        metadata=about(
            "Messages that it may send at once after a time of silence: a month of readings that "
            "waited on the device.",
            Within(100, 100_000_000),
        ),
    )
    packs_per_day: int = field(
        default=250,
        metadata=about(
            "Packs that it may report in one day, on each of its buses: each is a set of series in "
            "the store.",
            Within(1, 100_000),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestConfig:
    """Everything ingest must be told."""

    mqtt: SharedMqttConfig = field(metadata=about("Where messages come from."))
    sqlite: SqliteConfig | None = field(
        default=None,
        metadata=about(
            "The embedded store. Keep exactly one of [sqlite] and [influx].", shown=True
        ),
    )
    influx: InfluxConfig | None = field(
        default=None,
        metadata=about("InfluxDB 1.8, 2.x or 3.x, VictoriaMetrics: any v2 write endpoint."),
    )
    dead_letter: DeadLetterConfig = field(
        default_factory=DeadLetterConfig,
        metadata=about("Messages that no retry can save are kept here for a person to look at."),
    )
    per_agent: PerAgentConfig = field(
        default_factory=PerAgentConfig,
        metadata=about("How much one agent may send; the others must not suffer from it."),
    )
    batch: BatchConfig = field(
        default_factory=BatchConfig, metadata=about("How many messages are written together.")
    )

    def __post_init__(self) -> None:
        if (self.sqlite is None) == (self.influx is None):
            found = "neither is there" if self.sqlite is None else "both are there"
            raise ContradictionError([("sqlite, influx", f"exactly one store is needed, {found}")])
