"""What agent and ingest are told, floor 1: TOML files, checked as a whole before anything starts.

`load_agent` and `load_ingest` return frozen values or raise one `ConfigError` that names every
mistake with its key path. The keys are the fields of the dataclasses; `example_agent` and
`example_ingest` print them with help and defaults.
"""

from packtap.config.agent import AgentConfig, LineConfig, StoreConfig
from packtap.config.broker import BrokerConfig, MqttConfig, SharedMqttConfig, TlsConfig
from packtap.config.example import example_agent, example_ingest
from packtap.config.files import (
    Inspection,
    Kind,
    inspect_file,
    load_agent,
    load_ingest,
    read_secret,
)
from packtap.config.ingest import (
    BatchConfig,
    DeadLetterConfig,
    InfluxConfig,
    IngestConfig,
    SqliteConfig,
)
from packtap.config.pack import PackConfig

__all__ = [
    "AgentConfig",
    "BatchConfig",
    "BrokerConfig",
    "DeadLetterConfig",
    "InfluxConfig",
    "IngestConfig",
    "Inspection",
    "Kind",
    "LineConfig",
    "MqttConfig",
    "PackConfig",
    "SharedMqttConfig",
    "SqliteConfig",
    "StoreConfig",
    "TlsConfig",
    "example_agent",
    "example_ingest",
    "inspect_file",
    "load_agent",
    "load_ingest",
    "read_secret",
]
