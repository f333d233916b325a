"""The chain while its parts are killed: what was committed arrives, once, whatever happens.

PACKTAP_FAULT_ROUNDS and PACKTAP_FAULT_SEED make the first two tests longer, or other ones.
`chain_faults_long.py` runs many seeds and prints a table.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from packtap.simulated.scooter import Plan
from packtap.simulated.wires import Wires
from system.chain import (
    AgentProcess,
    adapters,
    committed,
    messages,
    running_agent,
    running_ingest,
    scooter,
    settled,
)
from system.chain_faults import Outcome, run_influx, run_sqlite
from system.servers import Mosquitto, eventually

ROUNDS: Final = int(os.environ.get("PACKTAP_FAULT_ROUNDS", "16"))
SEED: Final = int(os.environ.get("PACKTAP_FAULT_SEED", "1"))


@pytest.mark.timeout(300 + 10 * ROUNDS)
@pytest.mark.parametrize("run", [run_influx, run_sqlite])
def test_kills_of_every_part_at_random_moments_lose_no_committed_reading_and_double_none(
    run: Callable[[Path, int, int], Outcome], tmp_path: Path
) -> None:
    outcome = run(tmp_path, SEED, ROUNDS)
    # The comparison means something only if there was a ride, and kills during it.
    assert outcome.readings > 2 * ROUNDS
    assert outcome.cells > 5 * ROUNDS
    assert outcome.kills.keys() >= {"agent", "ingest", "mosquitto"}
    assert outcome.is_whole, outcome


def readings_told(agent: AgentProcess) -> int:
    """Return how many readings the agent says it has taken."""
    return int(agent.now().get("counters", {}).get("readings", 0))


@pytest.mark.parametrize("trouble", ["none", "broker gone", "broker hangs", "line unplugged"])
def test_sigterm_ends_the_agent_within_5_s_with_every_reading_saved(
    trouble: str, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    with (
        adapters(tmp_path, "esc", "bms") as lines,
        running_agent(tmp_path, lines, mosquitto.port, flush_s=300) as agent,
        scooter(Wires(Plan()), lines),
    ):
        eventually(lambda: readings_told(agent) >= 10, "ten readings")
        if trouble == "broker gone":
            mosquitto.kill9()
        elif trouble == "broker hangs":
            mosquitto.pause()
        elif trouble == "line unplugged":
            lines["bms"].unplug()
        told = readings_told(agent)
        assert committed(agent.store) == []  # they are in memory: the batch is not due
        assert agent.terminate(within_s=5) == 0, agent.log_tail()
    assert len(committed(agent.store)) >= told
    assert "Traceback" not in agent.log.read_text()


def test_agent_that_starts_without_a_broker_keeps_everything_until_there_is_one(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    mosquitto.stop()
    with (
        adapters(tmp_path, "esc", "bms") as lines,
        running_agent(tmp_path, lines, mosquitto.port) as agent,
    ):
        with scooter(Wires(Plan()), lines):
            eventually(lambda: len(committed(agent.store)) >= 30, "thirty readings in the store")
        assert agent.waiting() > 0
        mosquitto.restart()
        with running_ingest(tmp_path, mosquitto.port) as ingest:
            settled(agent)
            expected = messages(agent.store)
            eventually(
                lambda: len(messages(ingest.database)) >= len(expected), "all of them at the end"
            )
        assert messages(ingest.database) == expected
        assert committed(ingest.database) == committed(agent.store)
    assert "Traceback" not in agent.log.read_text()


def test_port_that_is_unplugged_and_comes_back_as_another_terminal_goes_on_by_itself(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    with (
        adapters(tmp_path, "esc", "bms") as lines,
        running_ingest(tmp_path, mosquitto.port) as ingest,
        running_agent(tmp_path, lines, mosquitto.port) as agent,
    ):
        pid, before = agent.pid, lines["bms"].port.readlink()
        with scooter(Wires(Plan()), lines):
            eventually(lambda: len(committed(agent.store)) >= 5, "five readings")
            lines["bms"].unplug()
            eventually(lambda: not agent.listens(), "the agent's word that the line is down")
            with adapters(tmp_path, "dash", "spare-1", "spare-2", "spare-3"):
                # They take the lowest free numbers, that of the old terminal among them, whatever
                # tests beside this one have given back.
                lines["bms"].plug_in()
            assert lines["bms"].port.readlink() != before
            plugged_ms = time.time_ns() // 1_000_000
            eventually(agent.listens, "both lines open again")
            eventually(
                lambda: sum(one.t_ms > plugged_ms for one in committed(agent.store)) >= 10,
                "ten readings from the new terminal",
            )
        assert agent.pid == pid
        assert agent.is_running
        settled(agent)
        expected = messages(agent.store)
        eventually(lambda: len(messages(ingest.database)) >= len(expected), "all of them")
        assert messages(ingest.database) == expected
    assert "Traceback" not in agent.log.read_text()
