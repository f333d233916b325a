"""What agent, ingest and page are told, floor 1: TOML files, checked whole before anything starts.

`load_agent`, `load_ingest` and `load_web` return frozen values or raise one `ConfigError` that
names every mistake with its key path. The keys are the fields of the dataclasses; `example_agent`,
`example_ingest` and `example_web` print them with help and defaults.
"""

from packtap.config.agent import AgentConfig, FlightConfig, LineConfig, StoreConfig
from packtap.config.broker import BrokerConfig, MqttConfig, SharedMqttConfig, TlsConfig
from packtap.config.example import example_agent, example_ingest, example_web
from packtap.config.files import (
    Inspection,
    Kind,
    inspect_file,
    load_agent,
    load_ingest,
    load_web,
    read_secret,
)
from packtap.config.ingest import (
    BatchConfig,
    DeadLetterConfig,
    InfluxConfig,
    IngestConfig,
    PerAgentConfig,
    SqliteConfig,
)
from packtap.config.judging import Judging, load_judging
from packtap.config.pack import PackConfig
from packtap.config.pack_model import PackModelConfig, model_of
from packtap.config.prices import Prices, load_prices
from packtap.config.web import WebConfig

__all__ = [
    "AgentConfig",
    "BatchConfig",
    "BrokerConfig",
    "DeadLetterConfig",
    "FlightConfig",
    "InfluxConfig",
    "IngestConfig",
    "Inspection",
    "Judging",
    "Kind",
    "LineConfig",
    "MqttConfig",
    "PackConfig",
    "PackModelConfig",
    "PerAgentConfig",
    "Prices",
    "SharedMqttConfig",
    "SqliteConfig",
    "StoreConfig",
    "TlsConfig",
    "WebConfig",
    "example_agent",
    "example_ingest",
    "example_web",
    "inspect_file",
    "load_agent",
    "load_ingest",
    "load_judging",
    "load_prices",
    "load_web",
    "model_of",
    "read_secret",
]
