"""The flight recorder: what the wires said around a critical event, and the same events again."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from agent.test_agent import LOW, NAME, SOUND, Bench, bench, cells, reply, running
from ninebot_bms import Observer
from packtap.analysis.open_events import OpenEvents
from packtap.config import FlightConfig, PackConfig
from packtap.errors import CaptureError
from packtap.flight import FlightRecorder
from packtap.inputs import open_capture
from packtap.link import Received
from packtap.model import Event, EventState, Severity
from packtap.replaying import replay
from packtap.store import Store
from packtap.tap import Tap, TapSettings
from serial_ends import Pty, wait_until

__all__ = ["bench"]  # the fixture


def event(severity: Severity = Severity.CRITICAL, state: EventState = EventState.RAISED) -> Event:
    return Event("id", 1.0, "P", "dead_cell", severity, state)


def recorder(folder: Path, **changed: float) -> FlightRecorder:
    config = replace(FlightConfig(minutes=1.0, after_s=10.0, files=3, max_mb=3), **changed)  # type: ignore[arg-type]
    return FlightRecorder(config, folder)


def said(path: Path) -> list[tuple[float | None, str | None, bytes]]:
    with open_capture(str(path)) as capture:
        return [(chunk.t, chunk.line, chunk.data) for chunk in capture]


def test_the_minute_before_and_the_seconds_after_are_written(tmp_path: Path) -> None:
    flight = recorder(tmp_path / "flight")
    for t in range(100):
        flight.take(Received("bms", float(t), bytes([t])))
    assert not (tmp_path / "flight").exists()  # nothing happened: nothing is written
    flight.events([event()], 99.0, 1_700_000_000_000)
    for t in range(100, 130):
        flight.take(Received("bms", float(t), bytes([t])))
        flight.tick(float(t))
    assert flight.latest is not None
    written = said(flight.latest)
    assert [data[0] for _, _, data in written] == list(range(39, 110))
    assert written[0][0] == 1_700_000_039.0


@pytest.mark.parametrize(
    "quiet",
    [event(Severity.WARNING), event(state=EventState.CLEARED)],
    ids=["warning", "cleared"],
)
def test_what_is_not_critical_writes_nothing(tmp_path: Path, quiet: Event) -> None:
    flight = recorder(tmp_path)
    flight.take(Received("bms", 1.0, b"x"))
    flight.events([quiet], 1.0, None)
    assert list(tmp_path.iterdir()) == []


def test_a_further_event_prolongs_the_recording(tmp_path: Path) -> None:
    flight = recorder(tmp_path)
    for t in range(30):
        flight.take(Received("bms", float(t), bytes([t])))
        flight.tick(float(t))
        if t in (5, 12):
            flight.events([event()], float(t), None)
    assert flight.latest is not None
    assert "boot-5.000" in flight.latest.name  # the clock was not known
    assert [data[0] for _, _, data in said(flight.latest)] == list(range(23))


def test_so_many_files_of_such_a_size_stay(tmp_path: Path) -> None:
    flight = recorder(tmp_path)
    noise = [(n * 2654435761 % 2**32).to_bytes(4, "little") * 64 for n in range(4000)]
    for burst in range(5):
        start = burst * 1000.0
        flight.events([event()], start, None)
        for n, data in enumerate(noise):
            flight.take(Received("bms", start + n / 1000, data + n.to_bytes(2, "big")))
        flight.tick(start + 20)
        time.sleep(0.01)  # the oldest is known by its time
    kept = list(tmp_path.iterdir())
    assert len(kept) == 3
    assert all(path.stat().st_size < 1.2e6 for path in kept)
    assert any("4000.000" in path.name for path in kept)


def test_a_folder_that_cannot_be_made_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "flight").write_text("a file")
    flight = recorder(tmp_path / "flight")
    for t in range(3):
        flight.take(Received("bms", float(t), b"x"))
        flight.events([event()], float(t), None)
        flight.tick(float(t))
    flight.close()
    assert len(caplog.messages) == 1


def test_a_recording_of_a_process_that_was_killed_can_be_read(tmp_path: Path) -> None:
    flight = recorder(tmp_path)
    flight.events([event()], 0.0, None)
    for t in range(1, 9):
        flight.take(Received("bms", float(t), bytes([t])))
        flight.tick(float(t))
    path = flight.latest
    assert path is not None
    chunks = []
    with pytest.raises(CaptureError, match="breaks off"), open_capture(str(path)) as capture:
        chunks = [chunk.data[0] for chunk in capture]
    assert chunks[:5] == [1, 2, 3, 4, 5]
    flight.close()


def test_a_replay_of_a_flight_recording_gives_the_events_of_the_live_agent(bench: Bench) -> None:
    pty = bench.adapter.plug()
    frames: list[tuple[tuple[int, ...], bool]] = [(SOUND, False), (LOW, True), (SOUND, False)]
    with running(bench.config):
        for millivolts, raised in frames:
            ride(pty, bench, millivolts, raised=raised)
    with Store.open_read_only(bench.config.store.path) as store:
        live = [(e.kind, e.cell, e.value, e.text) for e in store.events()]
        times = [(e.raised_ms, e.cleared_ms) for e in store.events()]
    (path,) = (bench.config.store.path.parent / "flight").iterdir()
    tap = Tap(TapSettings(pack=PackConfig(cooldown_s=0.0)), OpenEvents("replay"))
    with open_capture(str(path)) as capture:
        events = [each for digest in replay(capture, tap, Observer()) for each in digest.events]
    raised_ = [each for each in events if each.state is EventState.RAISED]
    cleared = {each.id: each for each in events if each.state is EventState.CLEARED}
    assert [(e.kind, e.cell, e.value, e.text) for e in raised_] == live
    assert live[0][:2] == ("cell_undervoltage", 7)
    # The recording has the very times at which the agent read: the difference is a constant.
    shifts = {
        round(1000 * (end.t or 0)) - (at or 0)
        for each, pair in zip(raised_, times, strict=True)
        for end, at in zip((each, cleared[each.id]), pair, strict=True)
    }
    assert shifts <= {-1, 0, 1}


def ride(pty: Pty, bench: Bench, millivolts: tuple[int, ...], *, raised: bool) -> None:
    """Say it until the agent has drawn its conclusion, each reading a little different."""
    count = 0

    def is_over() -> bool:
        nonlocal count
        count += 1
        flicker = (*millivolts[:-1], millivolts[-1] - count % 2)
        status = reply(
            0x30, 12, status=1, voltage_v=36.0, current_a=5.0 + count % 3 / 10, soc_pct=70,
            temperature_1_c=20, temperature_2_c=20,
        )  # fmt: skip
        for frame in (NAME, status, cells(*flicker)):
            pty.write(frame)
        time.sleep(0.02)
        return count > 20 and bool(bench.now.get("events")) == raised

    wait_until(is_over, 30)
