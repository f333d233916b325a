"""The one path of all data: what a tap makes of recordings, of emulated rides, and of time."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rides
from fake_wire import Read, bytewise, coalesced, lossy, skewed, untimed
from ninebot_bms import BMS, BMS2, Dialect, Frame, Reply, Snapshot
from ninebot_bms.emulator import RegisterImage
from ninebot_bms.registers import Block
from packtap.analysis.open_events import OpenEvents
from packtap.config import PackConfig
from packtap.model import EventState, Severity, Value
from packtap.simulated.scooter import Plan
from packtap.simulated.wires import Wires
from packtap.tap import Digest, Tap, TapSettings, pack_name
from recorded import RECORDED_FRAMES, recording

HEALTHY = ("m365_esc_bms", "m365_dash_app")


def block_reply(
    t: float | None, index: int, data: bytes, *, address: int = BMS, line: str = "bms"
) -> Reply:
    """Return registers as they come off the bus."""
    frame = Frame(Dialect.XIAOMI, address, None, 0x01, index, data)
    return Reply(t, line, frame, Block(address, index, data))


def image_reply(
    t: float | None, index: int, size: int, /, address: int = BMS, **values: Value
) -> Reply:
    """Return registers of a pack that holds these values."""
    return block_reply(t, index, RegisterImage(values).read(index, size), address=address)


def status_reply(t: float | None, **values: Value) -> Reply:
    return image_reply(t, 0x30, 12, BMS, **values)


def cells_reply(t: float | None, *millivolts: int, address: int = BMS) -> Reply:
    return image_reply(t, 0x40, 30, address, cell_voltages_mv=millivolts)


def serial_reply(t: float | None, serial: str, *, address: int = BMS) -> Reply:
    return image_reply(t, 0x10, 16, address, serial=serial)


def packs(digest: Digest) -> list[str]:
    return [pack for pack, _ in digest.snapshots]


def values(digest: Digest, name: str) -> list[Value]:
    return [snapshot.values.get(name) for _, snapshot in digest.snapshots]


# Real scooters.


@pytest.mark.parametrize("name", HEALTHY)
def test_a_recording_of_a_sound_scooter_raises_no_warning(name: str) -> None:
    digest = rides.replayed(recording(name))
    assert {event.kind for event in digest.events if event.severity is not Severity.INFO} == set()


def test_an_emulator_instead_of_a_bms_is_implausible_and_raises_nothing_about_cells() -> None:
    digest = rides.replayed(recording("m365_commercial_emulator"))
    assert {event.kind for event in digest.events} == {"implausible_data"}


@pytest.mark.parametrize("name", RECORDED_FRAMES)
def test_a_recording_gives_the_same_however_its_bytes_are_cut(name: str) -> None:
    whole = rides.replayed(recording(name))
    cut = rides.replayed(bytewise(recording(name)))
    kinds = [(event.kind, event.cell, event.state) for event in whole.events]
    assert [(event.kind, event.cell, event.state) for event in cut.events] == kinds
    assert last_values(cut) == last_values(whole)


def last_values(digest: Digest) -> dict[str, dict[str, Value]]:
    return {pack: dict(snapshot.values) for pack, snapshot in digest.snapshots}


def test_a_real_power_up_gives_the_pack_its_name_and_its_first_values() -> None:
    digest = rides.replayed(recording("m365_esc_bms"))
    assert set(packs(digest)) == {"3JAGJ17A8D3660"}
    first = digest.snapshots[0][1].values
    assert first["serial"] == "3JAGJ17A8D3660"
    assert {"status", "voltage_v", "current_a"} <= set(values_ever(digest))
    assert "cell_voltages_mv" not in values_ever(digest)  # a stock ESC never asks for cells


def values_ever(digest: Digest) -> set[str]:
    return {name for _, snapshot in digest.snapshots for name in snapshot.values}


def test_a_bms_that_never_answers_is_raised_five_seconds_after_the_first_knock() -> None:
    recorded = recording("m365_esc_no_bms")
    digest = rides.replayed(recorded)
    assert [(event.kind, event.state) for event in digest.events] == [
        ("bms_comm_lost", EventState.RAISED)
    ]
    [lost] = digest.events
    first = next(t for t, _, data in recorded if data.startswith(b"\x55\xaa"))
    assert lost.t == next(t for t, _, _ in recorded if t >= first + 5.0)
    assert lost.pack == "unknown"
    assert digest.snapshots == []


# Emulated rides, simulated and called so.


@pytest.mark.parametrize("dialect", Dialect)
def test_the_failing_cell_of_a_ride_is_raised_by_its_number_and_no_other(
    dialect: Dialect,
) -> None:
    taken = rides.reads(Wires(rides.failing(30.0, cell=4), dialect), 90)
    digest = rides.replayed(taken)
    raised = {(e.kind, e.cell) for e in digest.events if e.state is EventState.RAISED}
    assert ("cell_undervoltage", 4) in raised
    assert {cell for _, cell in raised} <= {4, None}
    assert {event.pack for event in digest.events} == {rides.SERIAL}


def test_snapshots_are_at_most_five_a_second_and_their_times_rise() -> None:
    digest = rides.replayed(rides.reads(Wires(Plan()), 30))
    times = [snapshot.t for _, snapshot in digest.snapshots if snapshot.t is not None]
    assert len(times) == len(digest.snapshots)
    assert times == sorted(set(times))
    assert 4.0 * 30 < len(times) <= 5.0 * 30 + 1


def test_a_bus_without_an_app_shows_no_cells() -> None:
    digest = rides.replayed(rides.reads(Wires(Plan(), app=False), 10))
    assert "voltage_v" in values_ever(digest)
    assert "cell_voltages_mv" not in values_ever(digest)


def test_nothing_fresh_is_lost_between_snapshots() -> None:
    taken = rides.reads(Wires(Plan()), 30)
    cells_read = [data for _, line, data in taken if line == "bms" and data[5:6] == b"\x40"]
    digest = rides.replayed(taken)
    fresh = [s for _, s in digest.snapshots if "cell_voltages_mv" in s.fresh]
    assert len(cells_read) > 25
    assert len(fresh) == len(cells_read)


# Live and replayed.


def noisy(taken: list[Read], seed: int) -> list[Read]:
    """Damage some frames, and let false headers hide others."""
    rng = random.Random(seed)
    damage = lossy(0.05, seed)
    spoiled: list[Read] = []
    for t, line, data in taken:
        false_header = rng.choice((b"", b"", b"", b"\x55\xaa\x40\x22", b"\x5a\xa5\x30"))
        spoiled.append((t, line, false_header + damage(data)))
    return spoiled


RIDE = rides.reads(Wires(rides.failing(4.0)), 24)
FORMS: dict[str, list[Read]] = {
    "one read a frame": RIDE,
    "reads of 20 ms": coalesced(RIDE, 0.02),
    "single bytes": bytewise(rides.reads(Wires(rides.failing(1.0)), 6)),
    "one line handed over late": skewed(RIDE, "esc", 0.03),
    "noise": noisy(RIDE, 1),
    "noise in reads of 20 ms": coalesced(noisy(RIDE, 2), 0.02),
    "gaps": [read for read in RIDE if read[0] is not None and int(read[0]) % 3],
}


def outcome(digest: Digest) -> tuple[object, object]:
    return digest.snapshots, digest.events


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None, max_examples=25)
@given(ticks=st.lists(st.floats(0, 30), max_size=300))
def test_live_with_ticks_at_any_times_gives_exactly_what_replay_gives(
    form: str, ticks: list[float]
) -> None:
    taken = FORMS[form]
    assert outcome(rides.live(taken, ticks)) == outcome(rides.replayed(taken))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("every_s", [0.05, 0.0031])
def test_live_with_a_steady_tick_gives_exactly_what_replay_gives(form: str, every_s: float) -> None:
    taken = FORMS[form]
    ticks = [number * every_s for number in range(int(25 / every_s))]
    whole = rides.replayed(taken)
    assert whole.snapshots
    assert outcome(rides.live(taken, ticks)) == outcome(whole)


@pytest.mark.parametrize("name", RECORDED_FRAMES)
def test_a_real_recording_gives_live_what_it_gives_replayed(name: str) -> None:
    taken: list[Read] = list(recording(name))
    ticks = [number * 0.05 for number in range(int((taken[-1][0] or 0) / 0.05) + 10)]
    assert outcome(rides.live(taken, ticks)) == outcome(rides.replayed(taken))


def test_what_is_left_over_is_told_within_half_a_second_of_silence() -> None:
    tap = rides.fresh_tap()
    tap.digest([status_reply(10.0, voltage_v=36.0), status_reply(10.05, voltage_v=36.5)])
    assert tap.idle(10.3).snapshots == []
    [(_, snapshot)] = tap.idle(10.51).snapshots
    assert (snapshot.t, snapshot.values["voltage_v"]) == (10.05, 36.5)
    assert tap.idle(11.0).snapshots == []


def test_what_is_left_over_at_the_end_is_told() -> None:
    tap = rides.fresh_tap()
    tap.digest([status_reply(10.0), status_reply(10.05, voltage_v=36.5)])
    [(_, snapshot)] = tap.idle(None).snapshots
    assert snapshot.values["voltage_v"] == 36.5


def test_blocks_further_apart_than_a_poll_are_never_one_snapshot() -> None:
    tap = rides.fresh_tap()
    story = [status_reply(1.0), status_reply(1.05, voltage_v=36.0), status_reply(1.4, voltage_v=35)]
    digest = tap.digest(story)
    assert [snapshot.t for _, snapshot in digest.snapshots] == [1.0, 1.05, 1.4]


def test_input_without_times_gives_every_block_as_a_snapshot_without_time() -> None:
    digest = rides.replayed(untimed(rides.reads(Wires(Plan()), 5)))
    assert digest.snapshots
    assert {snapshot.t for _, snapshot in digest.snapshots} == {None}
    assert digest.events == []


def test_a_recorder_clock_that_runs_back_silences_nothing() -> None:
    taken = rides.reads(Wires(Plan()), 10)
    stepped: list[Read] = [
        (t - 1000.0 if t is not None and t > 5 else t, line, data) for t, line, data in taken
    ]
    digest = rides.replayed(stepped)
    assert [event.kind for event in digest.events] == ["timestamp_anomaly"]
    assert len(digest.snapshots) >= len(rides.replayed(taken).snapshots) - 2


# Names of packs.


def test_a_pack_is_unknown_until_its_serial_is_read() -> None:
    tap = rides.fresh_tap(TapSettings(unknown_pack="unknown-pi-a"))
    assert tap.pack == "unknown-pi-a"
    before = tap.digest([status_reply(1.0)])
    after = tap.digest([serial_reply(2.0, "3JDEA24M1D0815"), status_reply(3.0)])
    assert packs(before) == ["unknown-pi-a"]
    assert packs(after) == ["3JDEA24M1D0815"] * 2
    assert tap.pack == "3JDEA24M1D0815"


def test_what_was_learned_about_a_pack_stays_when_its_name_becomes_known() -> None:
    tap = rides.fresh_tap()
    low = (3600, 3600, 2700, 3600, 3600)
    digest = tap.digest(
        [cells_reply(1.0, *low), serial_reply(2.5, "3JDEA24M1D0815"), cells_reply(3.0, *low)]
    )
    assert [(e.kind, e.cell, e.t, e.pack) for e in digest.events] == [
        ("cell_undervoltage", 3, 3.0, "3JDEA24M1D0815")
    ]


def test_a_swapped_pack_starts_with_nothing_learned_and_nothing_reported() -> None:
    tap = rides.fresh_tap()
    low = (3600, 3600, 2700, 3600, 3600)
    tap.digest([serial_reply(1.0, "3JDEA24M1D0815"), cells_reply(2.0, *low)])
    digest = tap.digest([serial_reply(3.0, "3JDEA24M1D0816"), cells_reply(4.0, *low)])
    assert packs(digest) == ["3JDEA24M1D0816"] * 2
    assert digest.events == []  # one low reading of each pack is no two seconds of either
    assert "cell_voltages_mv" not in digest.snapshots[0][1].values
    raised = tap.digest([cells_reply(6.0, *low)])
    assert [(e.kind, e.cell, e.pack) for e in raised.events] == [
        ("cell_undervoltage", 3, "3JDEA24M1D0816")
    ]


def test_what_was_raised_before_the_name_was_known_is_cleared_under_the_name() -> None:
    tap = rides.fresh_tap()
    low, fine = (3600, 3600, 2700, 3600), (3600,) * 4
    [raised] = tap.digest([cells_reply(float(t), *low) for t in range(5)]).events
    assert (raised.pack, raised.cell) == ("unknown", 3)
    named = tap.digest(
        [serial_reply(5.0, "3JDEA24M1D0815"), *(cells_reply(6.0 + t, *low) for t in range(5))]
    )
    assert named.events == []  # it is known already
    assert named.renamed == [replace(raised, pack="3JDEA24M1D0815")]
    assert [event.id for event in tap.open_events.of("3JDEA24M1D0815")] == [raised.id]
    assert tap.digest([cells_reply(20.0 + t, *fine) for t in range(10)]).events == []
    [cleared] = tap.idle(100.0).events
    assert (cleared.id, cleared.state) == (raised.id, EventState.CLEARED)
    assert (cleared.pack, tap.open_events.all()) == ("3JDEA24M1D0815", ())


def test_a_silent_pack_that_answers_at_last_ends_its_silence_under_its_name() -> None:
    taken = list(recording("m365_esc_no_bms"))
    answered = [(t + 15.0, line, data) for t, line, data in recording("m365_esc_bms")]
    tap = rides.fresh_tap(TapSettings(pack=PackConfig(cooldown_s=5.0)))
    events = rides.replayed([*taken, *answered], tap).events
    assert [(e.kind, e.state, e.pack) for e in events] == [
        ("bms_comm_lost", EventState.RAISED, "unknown"),
        ("bms_comm_lost", EventState.CLEARED, "3JAGJ17A8D3660"),
    ]
    assert events[0].id == events[1].id


def test_what_is_open_under_both_names_after_a_restart_stays_open_once() -> None:
    low, name = (3600, 2700, 3600), "3JDEA24M1D0815"
    first = Tap(TapSettings(), OpenEvents("store"))
    serial = serial_reply(0.0, name)
    [before] = first.digest([serial, *(cells_reply(float(t), *low) for t in range(1, 5))]).events
    again = Tap(TapSettings(), OpenEvents("store", [before], counter=1))
    [twice] = again.digest([cells_reply(float(t), *low) for t in range(100, 105)]).events
    [cleared] = again.digest([serial_reply(106.0, name), cells_reply(107.0, *low)]).events
    assert (cleared.id, cleared.state, cleared.t) == (twice.id, EventState.CLEARED, 106.0)
    assert again.open_events.all() == (before,)


@pytest.mark.parametrize(
    "serial", ["\x00" * 14, " " * 14, "3JDE 24M1D0815", "3JDE/24M1D0815"],
    ids=["zeros", "blank", "a space inside", "a slash inside"],
)  # fmt: skip
def test_a_serial_that_cannot_name_a_pack_names_none(serial: str) -> None:
    tap = rides.fresh_tap()
    assert packs(tap.digest([serial_reply(1.0, serial)])) in ([], ["unknown"])
    assert tap.pack == "unknown"


def test_a_doubted_serial_names_no_pack() -> None:
    snapshot = Snapshot(
        t=1.0,
        address=BMS,
        values={"serial": None},
        times={"serial": 1.0},
        fresh=frozenset({"serial"}),
        cell_count=None,
        doubts=(),
    )
    assert pack_name(snapshot) is None
    assert pack_name(replace(snapshot, values={"serial": "3JDEA24M1D0815"})) == "3JDEA24M1D0815"
    assert pack_name(replace(snapshot, values={})) is None


# Two packs on one bus.


def test_two_packs_on_one_bus_are_judged_apart() -> None:
    tap = rides.fresh_tap()
    sound, low = (3600,) * 5, (3600, 2700, 3600, 3600, 3600)
    story = [
        serial_reply(0.0, "3JDEA24M1D0815"),
        serial_reply(0.1, "3JDEA24M1D0816", address=BMS2),
    ]
    for second in range(1, 5):
        story.append(cells_reply(float(second), *sound))
        story.append(cells_reply(second + 0.4, *low, address=BMS2))
    digest = tap.digest(story)
    assert set(packs(digest)) == {"3JDEA24M1D0815", "3JDEA24M1D0816"}
    assert [(e.pack, e.kind, e.cell) for e in digest.events] == [
        ("3JDEA24M1D0816", "cell_undervoltage", 2)
    ]
    assert tap.pack == "3JDEA24M1D0815"  # the one at the main address
    for pack, snapshot in digest.snapshots:
        assert snapshot.address == (BMS if pack.endswith("5") else BMS2)


def test_two_packs_without_serials_are_told_apart_by_their_address() -> None:
    tap = rides.fresh_tap(TapSettings(unknown_pack="unknown-pi-a"))
    sound, low = (3600,) * 5, (3600, 2700, 3600, 3600, 3600)
    story = []
    for second in range(6):
        story.append(cells_reply(float(second), *low, address=BMS2))
        story.append(cells_reply(second + 0.4, *sound))
    digest = tap.digest(story)
    raised = [(e.kind, e.cell, e.state) for e in digest.events]
    assert raised == [("cell_undervoltage", 2, EventState.RAISED)]
    assert len(set(packs(digest))) == 2


# What is raised already.


def test_an_event_that_was_open_before_is_not_raised_again_and_is_cleared_once() -> None:
    low, fine = (3600, 2700, 3600), (3600, 3600, 3600)
    first = Tap(TapSettings(), OpenEvents("store"))
    [raised] = first.digest([cells_reply(float(t), *low) for t in range(5)]).events
    again = Tap(TapSettings(), OpenEvents("store", [replace(raised, t=None)], counter=1))
    assert again.digest([cells_reply(float(t), *low) for t in range(100, 105)]).events == []
    assert again.open_events.of("unknown") == (replace(raised, t=None),)
    assert again.digest([cells_reply(float(t), *fine) for t in range(110, 120)]).events == []
    [cleared] = again.idle(200.0).events
    assert (cleared.id, cleared.state) == (raised.id, EventState.CLEARED)
