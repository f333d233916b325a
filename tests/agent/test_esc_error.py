"""The error that the scooter shows, read where it goes by: believed twice, evidence once."""

import pytest

from ninebot_bms import BusEvent, Dialect, Frame, Observer, Seen
from ninebot_bms._encoding import encode
from ninebot_bms.frames import BMS, ESC, parse_frame
from packtap.analysis.esc_error import EscErrorReader
from packtap.inputs import open_capture
from packtap.model import Cause
from packtap.replaying import replay
from recorded import VECTORS
from rides import fresh_tap


def reply(
    code: int, *, index: int = 0xB0, source: int = ESC, dialect: Dialect = Dialect.XIAOMI
) -> BusEvent:
    """Return what a bus carries when the ESC tells its registers."""
    target = None if dialect is Dialect.XIAOMI else 0x3E
    command = 0x01 if dialect is Dialect.XIAOMI else 0x04
    payload = code.to_bytes(2, "little") + bytes(30 if index == 0xB0 else 0)
    frame = Frame(dialect, source, target, command, index, payload)
    return Seen(1.0, "dash", parse_frame(encode(frame)))


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("index", [0x1B, 0xB0])
def test_an_error_of_the_battery_is_believed_when_it_was_read_twice(
    index: int, dialect: Dialect
) -> None:
    reader = EscErrorReader()
    event = reply(21, index=index, dialect=dialect)
    assert reader.receive(event) is None
    assert reader.receive(event) == 21


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([reply(0)] * 3, id="no error"),
        pytest.param([reply(21), reply(0), reply(21), reply(0)], id="damaged once"),
        pytest.param([reply(14)] * 3, id="throttle"),
        pytest.param([reply(21, source=BMS, index=0x1B)] * 3, id="the pack's own register"),
        pytest.param([reply(21, index=0x3A)] * 3, id="another register"),
    ],
)
def test_what_is_no_error_of_the_battery_says_nothing(events: list[BusEvent]) -> None:
    reader = EscErrorReader()
    assert [reader.receive(event) for event in events] == [None] * len(events)


def test_an_error_that_goes_by_is_evidence_like_one_that_a_person_tells() -> None:
    tap, told = fresh_tap(), fresh_tap()
    tap.digest([reply(22), reply(22), reply(22)])
    told.evidence.report_error(22)
    assert tap.evidence.esc_error == 22
    assert tap.diagnose().causes == told.diagnose().causes
    assert tap.diagnose().causes[0].cause is Cause.BMS_BOARD


def test_a_sound_scooter_whose_registers_go_by_has_no_error() -> None:
    tap = fresh_tap()
    recording = VECTORS / "recordings" / "m365_dash_app.log.gz"
    with open_capture(str(recording)) as capture:
        for _ in replay(capture, tap, Observer()):
            pass
    assert tap.evidence.esc_error is None
    assert not tap.evidence.fault_reported
