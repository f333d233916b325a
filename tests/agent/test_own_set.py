"""Random scooters of our own simulation, the short form of `make score OWN=N`: same code, one seed.

The bench visits, and the everyday captures that take a second or less.
"""

import pytest

from own_set import FAMILIES, draw
from score import Outcome, score_own

#: Sound and faulty, parked and riding: what is quick to simulate.
EVERYDAY = ("healthy_parked", "dead_cell", "open_balance_wire", "self_discharge_cell")
SHORT = (*(family for family in FAMILIES if family.startswith("visit_")), *EVERYDAY)


@pytest.mark.parametrize("family", SHORT)
def test_a_random_scooter_is_told_as_it_is(family: str) -> None:
    outcome: Outcome = score_own((family, 0))
    assert outcome.false_alarms == ()
    assert outcome.forbidden == ()
    assert all(met for _, met, _ in outcome.hits)
    assert outcome.cell_ok in {None, True}
    assert outcome.cause_ok


@pytest.mark.parametrize("family", FAMILIES)
def test_a_seed_draws_one_scooter_and_another_seed_another(family: str) -> None:
    assert draw(family, 1) == draw(family, 1)
    assert draw(family, 1) != draw(family, 2)
