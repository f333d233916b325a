"""Real servers as fixtures, one fresh set a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from system.servers import (
    FaultProxy,
    InfluxDB,
    Mosquitto,
    V2Shim,
    VictoriaMetrics,
    start_fault_proxy,
    start_influxdb,
    start_mosquitto,
    start_v2_shim,
    start_victoria_metrics,
)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that forgets nothing."""
    with start_mosquitto(tmp_path) as server:
        yield server


@pytest.fixture
def broker_proxy(mosquitto: Mosquitto) -> Iterator[FaultProxy]:
    """A faulty network in front of the broker."""
    with start_fault_proxy(mosquitto.port) as proxy:
        yield proxy


@pytest.fixture
def influxdb(tmp_path: Path) -> Iterator[InfluxDB]:
    """An empty InfluxDB 1.x with the database `packtap`."""
    with start_influxdb(tmp_path) as server:
        yield server


@pytest.fixture
def v2_shim(tmp_path: Path, influxdb: InfluxDB) -> Iterator[V2Shim]:
    """The v2 write endpoint of `influxdb`."""
    with start_v2_shim(tmp_path, influxdb) as server:
        yield server


@pytest.fixture
def victoria_metrics(tmp_path: Path) -> Iterator[VictoriaMetrics]:
    """An empty VictoriaMetrics."""
    with start_victoria_metrics(tmp_path) as server:
        yield server
