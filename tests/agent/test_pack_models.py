"""Limits of one model of pack: which packs they are, and what holds for them."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rides
from agent.test_tap import cells_reply, image_reply, serial_reply
from ninebot_bms import BMS, BMS2, Reply
from packtap.analysis.open_events import OpenEvents
from packtap.config import (
    AgentConfig,
    PackConfig,
    PackModelConfig,
    inspect_file,
    load_agent,
    model_of,
)
from packtap.errors import ConfigError
from packtap.model import EventState
from packtap.tap import Tap, TapSettings
from restarts import Restarted

START = """
site = "workshop"
agent = "pi-01"
bus = "bay-1"
lines.bms.port = "/dev/ttyUSB0"
mqtt.host = "broker"
"""
MODELS = """
[pack]
cell_undervoltage_mv = 2700
[[pack_model]]
name = "LG cells"
serial_starts = ["3JD", "3JC"]
cell_undervoltage_mv = 3100
cell_undervoltage_clear_mv = 3200
cooldown_s = 0
[[pack_model]]
name = "big"
design_capacity_mah = 15300
comm_lost_s = 20
"""
OURS, OTHER = "3JDEA24M1D0815", "4KBEQ17J6V0010"


def load(tmp_path: Path, text: str) -> AgentConfig:
    file = tmp_path / "agent.toml"
    file.write_text(START + text)
    return load_agent(file)


def settings_of(tmp_path: Path, text: str = MODELS) -> TapSettings:
    config = load(tmp_path, text)
    return TapSettings(pack=config.pack, models=config.pack_model)


def low(start: float, stop: float, millivolts: int = 3000) -> list[Reply]:
    cells = (3600, 3600, millivolts, 3600)
    return [cells_reply(float(t), *cells) for t in range(int(start), int(stop))]


# What the file says.


def test_a_model_has_its_own_limits_and_the_rest_of_the_pack(tmp_path: Path) -> None:
    config = load(tmp_path, MODELS)
    lg, big = config.pack_model
    assert (lg.name, lg.serial_starts, lg.design_capacity_mah) == ("LG cells", ("3JD", "3JC"), None)
    assert lg.limits(config.pack) == PackConfig(
        cell_undervoltage_mv=3100, cell_undervoltage_clear_mv=3200, cooldown_s=0.0
    )
    assert big.limits(config.pack) == PackConfig(cell_undervoltage_mv=2700, comm_lost_s=20.0)


@pytest.mark.parametrize(
    ("serial", "capacity", "number"),
    [
        (None, None, None),
        (OURS, None, 0),
        ("3JCGJ18ATD1125", 7800, 0),
        (OTHER, 7800, None),
        (None, 15300, 1),
        (OTHER, 15300, 1),
        (OURS, 15300, 0),  # both fit: the first one of the file counts
    ],
)
def test_the_first_model_that_fits_counts(
    tmp_path: Path, serial: str | None, capacity: int | None, number: int | None
) -> None:
    assert model_of(load(tmp_path, MODELS).pack_model, serial, capacity) == number


def test_a_model_with_serial_and_capacity_needs_both() -> None:
    model = PackModelConfig(name="x", serial_starts=("3J",), design_capacity_mah=7800)
    assert model.fits(OURS, 7800)
    assert not model.fits(OURS, None)
    assert not model.fits(None, 7800)
    assert not model.fits(OTHER, 7800)


STARTS = st.lists(st.text("34", min_size=1, max_size=3), max_size=2).map(tuple)
CAPACITIES = st.sampled_from([None, 7800, 15300])


@given(STARTS, CAPACITIES, STARTS, CAPACITIES, st.text("34", max_size=4), CAPACITIES)
def test_a_model_that_covers_another_fits_every_pack_that_the_other_fits(
    starts: tuple[str, ...],
    capacity: int | None,
    other_starts: tuple[str, ...],
    other_capacity: int | None,
    serial: str,
    design: int | None,
) -> None:
    def model(name: str, starts: tuple[str, ...], capacity: int | None) -> PackModelConfig:
        starts = starts or (() if capacity else ("9",))
        return PackModelConfig(name=name, serial_starts=starts, design_capacity_mah=capacity)

    one = model("one", starts, capacity)
    other = model("other", other_starts, other_capacity)
    if one.covers(other) and other.fits(serial or None, design):
        assert one.fits(serial or None, design)


MISTAKES = {
    "no table of its own": ("[pack_model]\n", "pack_model", "tables in [[ ]] are needed"),
    "no name": ("[[pack_model]]\nserial_starts = ['3J']\n", "pack_model.0.name", "missing"),
    "nothing that tells": ("[[pack_model]]\nname = 'x'\n", "pack_model.0", "fits no pack"),
    "an empty list": (
        "[[pack_model]]\nname = 'x'\nserial_starts = []\n", "pack_model.0", "fits no pack",
    ),
    "a text for a list": (
        "[[pack_model]]\nname = 'x'\nserial_starts = '3J'\n",
        "pack_model.0.serial_starts", "a list in [ ] is needed",
    ),
    "a serial that none has": (
        "[[pack_model]]\nname = 'x'\nserial_starts = ['3J', 'a b']\n",
        "pack_model.0.serial_starts", "'a b' cannot be used",
    ),
    "an unknown key": (
        "[[pack_model]]\nname = 'x'\nserial_starts = ['3J']\ncell_overvolt_mv = 4200\n",
        "pack_model.0.cell_overvolt_mv", "did you mean 'cell_overvoltage_mv'?",
    ),
    "a limit out of its range": (
        "[[pack_model]]\nname = 'x'\nserial_starts = ['3J']\ncomm_lost_s = 0\n",
        "pack_model.0.comm_lost_s", "outside 2 to 600",
    ),
    "a limit that contradicts one of [pack]": (
        "[[pack_model]]\nname = 'x'\nserial_starts = ['3J']\ncell_overvoltage_mv = 4150\n",
        "pack_model.0.cell_overvoltage_clear_mv", "4200 must be below the limit that raises (4150)",
    ),
    "a name twice": (
        "[[pack_model]]\nname = 'x'\nserial_starts = ['3J']\n"
        "[[pack_model]]\nname = 'x'\nserial_starts = ['4K']\n",
        "pack_model.1.name", "'x' is there twice",
    ),
    "one that never counts": (
        "[[pack_model]]\nname = 'all'\nserial_starts = ['3J']\n"
        "[[pack_model]]\nname = 'some'\nserial_starts = ['3JD']\ndesign_capacity_mah = 7800\n",
        "pack_model.1", "put 'some' first",
    ),
    "a limit of a pack at the top": (
        "comm_lost_s = 9\n", "comm_lost_s", "it belongs into [pack] or [[pack_model]]",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "key", "words"), MISTAKES.values(), ids=MISTAKES)
def test_one_mistake_is_one_line_with_its_key(
    tmp_path: Path, text: str, key: str, words: str
) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(START + text)
    (problem,) = inspect_file(file).problems
    assert problem.path == key
    assert words in problem.text
    with pytest.raises(ConfigError):
        load_agent(file)


# What holds for a pack.


def test_a_model_that_becomes_known_judges_by_its_own_limits(tmp_path: Path) -> None:
    tap = rides.fresh_tap(settings_of(tmp_path))
    assert tap.digest(low(0, 10)).events == []  # 3000 mV are fine for any other pack
    [event] = tap.digest([serial_reply(10.0, OURS), *low(11, 20)]).events
    assert (event.kind, event.cell, event.limit) == ("cell_undervoltage", 3, 3100)
    assert (event.pack, "below 3100 mV" in event.text) == (OURS, True)


def test_another_pack_is_judged_by_the_limits_of_the_pack(tmp_path: Path) -> None:
    tap = rides.fresh_tap(settings_of(tmp_path))
    story = [serial_reply(0.0, OTHER), *low(1, 20), *low(20, 30, 2650)]
    [event] = tap.digest(story).events
    assert (event.kind, event.t, event.limit) == ("cell_undervoltage", 22.0, 2700)


def test_what_was_raised_and_found_out_stays_when_the_model_becomes_known(tmp_path: Path) -> None:
    tap = rides.fresh_tap(settings_of(tmp_path))
    [raised] = tap.digest(low(0, 10, 2600)).events
    judged = set(tap.evidence.judged)
    digest = tap.digest([serial_reply(10.0, OURS), *low(11, 20, 2600)])
    assert digest.events == []
    assert [event.id for event in tap.open_events.of(OURS)] == [raised.id]
    assert "cell_undervoltage" in tap.evidence.raised
    assert judged <= tap.evidence.judged
    [cleared] = tap.digest(low(20, 40, 3300)).events  # its cooldown is 0
    assert (cleared.id, cleared.state) == (raised.id, EventState.CLEARED)


def test_a_swapped_pack_is_judged_by_the_limits_of_its_own_model(tmp_path: Path) -> None:
    tap = rides.fresh_tap(settings_of(tmp_path))
    tap.digest([serial_reply(0.0, OURS), *low(1, 3)])
    assert tap.digest([serial_reply(4.0, OTHER), *low(5, 20)]).events == []


def test_the_limits_of_the_line_are_those_of_the_model_at_the_main_address(tmp_path: Path) -> None:
    tap = rides.fresh_tap(settings_of(tmp_path))
    assert {check.limits.lost_s for check in tap._link_checks} == {5.0}
    tap.digest([image_reply(0.0, 0x10, 18, BMS2, design_capacity_mah=15300)])
    assert {check.limits.lost_s for check in tap._link_checks} == {5.0}
    tap.digest([image_reply(1.0, 0x10, 18, BMS, design_capacity_mah=15300)])
    assert {check.limits.lost_s for check in tap._link_checks} == {20.0}


def test_a_restart_goes_on_with_the_model(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    story = [serial_reply(0.0, OURS), *low(1, 20), *low(20, 35, 3300)]
    whole = rides.fresh_tap(settings).digest(story).events
    assert [event.limit for event in whole] == [3100, 3100]
    stand_in = Restarted(Tap(settings, OpenEvents("test")), random.Random(3), 0.5)
    assert stand_in.digest(story).events == whole
    assert stand_in.restarts > 10
