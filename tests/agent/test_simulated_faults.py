"""Every fault that can be simulated is found, named and explained; sound packs stay quiet.

The captures are simulated by our own model and replayed by the code that runs live.
"""

import math
from dataclasses import replace

import pytest

from packtap import kinds
from packtap.model import Cause
from packtap.simulated.day import STORIES
from packtap.simulated.fault_rows import FAULTS, parse_fault
from packtap.simulated.faults import Fault
from packtap.simulated.scooter import Plan
from simulations import Case, Told, case, tell

#: Small packs are empty sooner: what needs a whole trip then takes half an hour of it.
SMALL = {"design_capacity_mah": 5200, "cells": 10}


def short(name: str, severity: float = 0.5, seed: int = 1) -> Case:
    """Return a case with no more of its story than it needs."""
    row = FAULTS[name]
    pack = SMALL if row.story == "trip" and not row.per_cell else {}
    made = case(name, severity=severity, seed=seed, cell=3 if row.per_cell else None, **pack)
    return replace(made, seconds=min(made.seconds, 2000.0 if row.story == "trip" else math.inf))


def assert_found(name: str, told: Told) -> None:
    """Check kind, cell, what else was raised, and the cause."""
    row = FAULTS[name]
    assert row.kind in {event.kind for event in told.events}, told
    # The first one raised is the kind itself, or what may precede it.
    assert told.alarms <= {row.kind, *row.also}, told
    if row.per_cell:
        near = {2, 3} if row.kind == "open_balance_wire" else {3}
        assert told.cells(row.kind) <= near, told
    assert told.top in row.causes, told


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_raises_its_kind_at_its_cell_and_nothing_else_and_explains_it(name: str) -> None:
    assert_found(name, tell(short(name)))


def test_every_kind_of_event_can_be_simulated() -> None:
    assert {row.kind for row in FAULTS.values()} == {kind.name for kind in kinds.KINDS}


def test_rows_name_causes_kinds_and_stories_that_exist() -> None:
    for row in FAULTS.values():
        assert set(row.causes) <= set(Cause), row.name
        assert row.also <= set(kinds.by_name), row.name
        assert row.story in STORIES, row.name
        assert row.per_cell == kinds.by_name[row.kind].per_cell or row.name.endswith("-all")


@pytest.mark.parametrize(
    ("story", "seconds"),
    [("ride", 600), ("rest", 400), ("charge", 1500), ("park", 30000), ("bench", 90),
     ("bench-charger", 120)],
)  # fmt: skip
@pytest.mark.parametrize("seed", [11, 12])
def test_a_sound_pack_raises_no_alarm_and_is_called_sound(
    story: str, seconds: float, seed: int
) -> None:
    told = tell(replace(case(story, seed=seed), seconds=seconds))
    assert told.alarms == set()
    assert told.top == "none"


@pytest.mark.parametrize(
    ("text", "cell", "severity"),
    [
        ("dead_cell", None, 0.5),
        ("dead_cell:3", 3, 0.5),
        ("dead_cell:3:0.9", 3, 0.9),
        ("dead_cell::0.9", None, 0.9),
        ("dead_cell:0.9", None, 0.9),
        ("bus_noise:1", None, 1.0),
        ("open_balance_wire-loose:2:0", 2, 0.0),
    ],
)
def test_a_fault_is_named_by_kind_cell_and_severity(
    text: str, cell: int | None, severity: float
) -> None:
    fault = parse_fault(text, 5.0)
    assert (fault.cell, fault.severity, fault.onset_s) == (cell, severity, 5.0)
    assert fault.row.name == text.partition(":")[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dead", "lists them"),
        ("dead_cell:x", "no cell"),
        ("dead_cell:3:much", "no severity"),
        ("dead_cell:3:1.5", "severity 0-1"),
        ("dead_cell:3:0.5:7", "severity 0-1"),
        ("bus_noise:3:0.5", "severity 0-1"),
        ("bus_noise:nan", "severity 0-1"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_fault(text)


def test_a_fault_at_a_cell_that_the_pack_has_not_is_refused() -> None:
    with pytest.raises(ValueError, match="no cell 11 in a pack of 10"):
        Plan(faults=(Fault(FAULTS["dead_cell"], 11),))
    with pytest.raises(ValueError, match="sits at no cell"):
        Fault(FAULTS["bus_noise"], 3)
    with pytest.raises(ValueError, match="before its start"):
        Fault(FAULTS["bus_noise"], at_s=-1.0)


@pytest.mark.parametrize("row", FAULTS.values(), ids=FAULTS)
def test_severity_leads_from_the_mild_value_to_the_severe_one(row) -> None:  # type: ignore[no-untyped-def]
    assert row.value(0) == pytest.approx(row.mild)
    assert row.value(1) == pytest.approx(row.severe)
    middle = row.value(0.5)
    assert min(row.mild, row.severe) <= middle <= max(row.mild, row.severe)


def test_two_faults_of_one_pack_are_both_found() -> None:
    faults = (parse_fault("high_resistance_cell:2"), parse_fault("temp_sensor_fault"))
    told = tell(Case(Plan(faults=faults), 500))
    assert told.alarms == {"high_resistance_cell", "temp_sensor_fault"}
    assert told.cells("high_resistance_cell") == {2}
