"""The error code that the scooter shows: told by a person, or read from the dashboard's line."""

import json
import random

import pytest

import rides
from ninebot_bms import ESC_ERRORS, BusEvent, Dialect, Frame, Seen
from ninebot_bms.frames import ESC
from packtap.analysis.diagnosis import FAULT_PRIOR, diagnose
from packtap.analysis.evidence import Evidence
from packtap.cli import main
from packtap.model import Cause
from recorded import VECTORS, recording
from restarts import Restarted

DASH = 0x21


def shown(t: float | None, code: int, *, line: str = "dash") -> Seen:
    payload = bytes((0x02, 0x04, 0x00, 0x00, 0x00, code))
    return Seen(t, line, Frame(Dialect.XIAOMI, None, DASH, 0x64, 0x00, payload))


def story(start: float, seconds: float, code: int) -> list[BusEvent]:
    """Return the frames to the dashboard, ten a second."""
    return [shown(start + step / 10, code) for step in range(int(10 * seconds))]


def told_app(t: float, code: int, index: int, dialect: Dialect) -> Seen:
    """Return what the controller answers to an app that reads its registers."""
    target, command = (None, 0x01) if dialect is Dialect.XIAOMI else (0x3E, 0x04)
    payload = code.to_bytes(2, "little") + bytes(30 if index == 0xB0 else 0)
    return Seen(t, "dash", Frame(dialect, ESC, target, command, index, payload))


def evidence(events: list[BusEvent]) -> Evidence:
    tap = rides.fresh_tap()
    assert tap.digest(events).events == []
    return tap.evidence


def test_a_battery_code_that_stands_on_the_dashboard_is_a_reported_fault() -> None:
    found = evidence([*story(0, 5, 0), *story(5, 5, 21)])
    assert found.fault_reported
    assert (found.esc_error, found.signs) == (21, {"esc_silent"})
    board = next(c for c in diagnose(found).causes if c.cause is Cause.BMS_BOARD)
    assert board.probability > FAULT_PRIOR[Cause.BMS_BOARD] - 0.05


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("index", [0x1B, 0xB0])
def test_registers_that_an_app_reads_show_it_too(index: int, dialect: Dialect) -> None:
    assert evidence([told_app(1.5 * n, 21, index, dialect) for n in range(3)]).esc_error == 21
    assert evidence([told_app(1.5 * n, 0, index, dialect) for n in range(9)]).esc_error is None


@pytest.mark.parametrize(
    "events",
    [
        story(0, 10, 0),
        story(0, 1.5, 21),
        [*story(0, 5, 0), shown(5.0, 21), *story(5.1, 5, 0)],
        [shown(step / 10, 21 if step % 2 else 22) for step in range(100)],
        [shown(0.0, 21), shown(9.0, 21)],
    ],
    ids=["no error", "short", "one frame", "two that alternate", "two frames"],
)
def test_what_does_not_stand_is_no_report(events: list[BusEvent]) -> None:
    found = evidence(events)
    assert (found.fault_reported, found.esc_error) == (False, None)


def test_without_times_three_frames_in_a_row_are_a_report() -> None:
    assert evidence([shown(None, 22) for _ in range(3)]).esc_error == 22
    assert evidence([shown(None, 22) for _ in range(2)]).esc_error is None


@pytest.mark.parametrize("code", [10, 15, 40])
def test_a_code_that_is_not_the_batterys_moves_nothing_and_is_said(code: int) -> None:
    found = evidence(story(0, 5, code))
    assert (found.fault_reported, found.signs, found.esc_error) == (False, set(), code)
    told = diagnose(found)
    assert told.causes == diagnose(Evidence()).causes
    assert told.esc_error is not None and "not counted" in told.esc_error


@pytest.mark.parametrize("code", [code for code, error in ESC_ERRORS.items() if error.battery])
def test_every_code_of_the_battery_is_a_reported_fault(code: int) -> None:
    found = Evidence()
    found.report_error(code)
    assert found.fault_reported
    told = diagnose(found)
    assert told.causes[0].cause is not Cause.NONE
    assert told.esc_error is not None and "not counted" not in told.esc_error


def test_a_code_of_the_battery_is_not_hidden_by_one_of_the_controller() -> None:
    found = evidence([*story(0, 5, 40), *story(5, 5, 22), *story(10, 5, 40)])
    assert (found.fault_reported, found.esc_error) == (True, 22)


def test_the_genuine_line_to_a_dashboard_reports_nothing() -> None:
    tap = rides.fresh_tap()
    rides.replayed(recording("m365_dash_app"), tap)
    assert (tap.evidence.fault_reported, tap.evidence.esc_error) == (False, None)


def test_restarts_change_nothing() -> None:
    events = [*story(0, 5, 0), *story(5, 3, 21)]
    stand_in = Restarted(rides.fresh_tap(), random.Random(2), 0.3)
    stand_in.digest(events)
    assert stand_in.restarts > 10
    assert stand_in.tap.evidence == evidence(events)


def replayed(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, object]:
    main(["replay", str(VECTORS / "recordings" / "m365_esc_bms.log.gz"), "--json", *options])
    told: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return told


def test_replay_counts_a_code_of_the_battery_alone(capsys: pytest.CaptureFixture[str]) -> None:
    plain = replayed(capsys)
    other = replayed(capsys, "--esc-error", "15")
    battery = replayed(capsys, "--esc-error", "21")
    assert plain["esc_error"] is None
    assert other["diagnosis"] == plain["diagnosis"] != battery["diagnosis"]
    words = "The scooter shows error 15: not known as one of the battery, not counted."
    assert other["esc_error"] == words
    assert battery["esc_error"] == "The scooter shows error 21: no communication with the BMS."
    main(["replay", str(VECTORS / "recordings" / "m365_esc_bms.log.gz"), "--esc-error", "15"])
    assert words in capsys.readouterr().out.splitlines()
