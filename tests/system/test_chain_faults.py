"""The chain while its parts are killed: what was committed arrives, once, whatever happens.

PACKTAP_FAULT_ROUNDS and PACKTAP_FAULT_SEED make the first two tests longer, or other ones.
`chain_faults_long.py` runs many seeds and prints a table.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from system.chain_faults import Outcome, run_influx, run_sqlite

ROUNDS: Final = int(os.environ.get("PACKTAP_FAULT_ROUNDS", "24"))
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
