"""Boot time and UTC: known when somebody vouches for it, stable once known."""

import ctypes
import time
from typing import Any
from uuid import UUID

import pytest

from packtap.clock import Clock, ClockMode, boot_id, boot_ms, kernel_synchronised
from packtap.clock_watch import ClockWatch

NOON = 1_790_000_000_000  # 2026


class FakeKernel:
    """Two clocks and the kernel's opinion about them."""

    def __init__(self, utc: int = NOON, *, synchronised: bool = False) -> None:
        self.boot = 5_000
        self.utc = utc
        self.synchronised = synchronised
        self.stall_ms = 0  # boot time that passes while both clocks are being read

    def pass_ms(self, ms: int, *, slew_ms: int = 0) -> None:
        self.boot += ms
        self.utc += ms + slew_ms

    def read_boot(self) -> int:
        self.boot += self.stall_ms
        return self.boot

    def clock(self, mode: ClockMode) -> Clock:
        return Clock(
            mode,
            boot_ms=self.read_boot,
            utc_ms=lambda: self.utc,
            synchronised=lambda: self.synchronised,
            boot_id=lambda: "boot-a",
        )


def test_automatic_clock_is_unknown_until_the_kernel_is_synchronised() -> None:
    kernel = FakeKernel()
    clock = kernel.clock("auto")
    assert clock.utc_offset_ms() is None
    assert clock.utc_ms() is None
    kernel.synchronised = True
    assert clock.utc_offset_ms() == NOON - 5_000
    assert clock.utc_ms() == NOON


def test_automatic_clock_stays_known_and_deaf_when_the_kernel_loses_its_reference() -> None:
    kernel = FakeKernel(synchronised=True)
    clock = kernel.clock("auto")
    known = clock.utc_offset_ms()
    kernel.synchronised = False
    kernel.utc += 3_600_000
    assert known is not None
    assert clock.utc_offset_ms() == known


@pytest.mark.parametrize("mode", ["trusted", "battery"])
def test_declared_clock_is_known_without_the_kernel(mode: ClockMode) -> None:
    assert FakeKernel().clock(mode).utc_offset_ms() == NOON - 5_000


@pytest.mark.parametrize("mode", ["auto", "trusted", "battery"])
def test_clock_that_shows_1970_is_not_believed_in_any_mode(mode: ClockMode) -> None:
    kernel = FakeKernel(utc=90_000, synchronised=True)
    clock = kernel.clock(mode)
    assert clock.utc_offset_ms() is None
    kernel.utc = NOON
    assert clock.utc_offset_ms() == NOON - 5_000


def test_slow_slewing_does_not_move_the_offset_until_it_adds_up() -> None:
    kernel = FakeKernel(synchronised=True)
    clock = kernel.clock("auto")
    start = clock.utc_offset_ms()
    assert start is not None
    seen = []
    for _ in range(60):
        kernel.pass_ms(1_000, slew_ms=10)
        seen.append(clock.utc_offset_ms())
    assert set(seen) == {start, start + 500}
    assert seen.index(start + 500) == 49


@pytest.mark.parametrize("step_ms", [-86_400_000, -1_000, 1_000, 3_600_000])
def test_step_of_a_known_clock_moves_the_offset_by_the_step(step_ms: int) -> None:
    kernel = FakeKernel(synchronised=True)
    clock = kernel.clock("auto")
    before = clock.utc_offset_ms()
    kernel.utc += step_ms
    after = clock.utc_offset_ms()
    assert before is not None
    assert after == before + step_ms


def test_readings_of_the_two_clocks_that_lie_apart_are_not_compared() -> None:
    kernel = FakeKernel(synchronised=True)
    kernel.stall_ms = 700
    clock = kernel.clock("auto")
    assert clock.utc_offset_ms() is None
    kernel.stall_ms = 0
    kernel.utc = NOON
    assert clock.utc_offset_ms() == NOON - kernel.boot


def test_boot_time_counts_up_in_whole_milliseconds_and_seconds_agree() -> None:
    clock = Clock("trusted")
    first = boot_ms()
    deadline = time.monotonic() + 10
    while boot_ms() == first and time.monotonic() < deadline:
        pass
    assert first < boot_ms() <= clock.boot_ms()
    assert abs(clock.boot_s() * 1000 - clock.boot_ms()) < 10_000


def test_boot_id_is_one_identifier_for_the_whole_boot() -> None:
    assert UUID(boot_id())
    assert boot_id() == boot_id() == Clock("auto").boot_id


@pytest.mark.parametrize(
    ("result", "status", "known"),
    [
        pytest.param(0, 0x2001, True, id="following a reference"),
        pytest.param(1, 0x2001, True, id="leap second announced"),
        pytest.param(5, 0x0040, False, id="never synchronised"),
        pytest.param(0, 0x0040, False, id="unsynchronised flag alone"),
        pytest.param(5, 0x2001, False, id="error state alone"),
        pytest.param(-1, 0, False, id="call refused"),
    ],
)
def test_kernel_answer_is_read_without_changing_the_clock(
    monkeypatch: pytest.MonkeyPatch, result: int, status: int, known: bool
) -> None:
    asked = []

    class Libc:
        @staticmethod
        def adjtimex(reference: Any) -> int:
            state = reference._obj
            asked.append(state.modes)
            state.status = status
            return result

    monkeypatch.setattr(ctypes, "CDLL", lambda *_args, **_kwargs: Libc)
    assert kernel_synchronised() is known
    assert asked == [0]


def test_system_without_adjtimex_counts_as_unsynchronised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_args, **_kwargs: object())
    assert kernel_synchronised() is False


@pytest.mark.parametrize("mode", ["auto", "trusted", "battery"])
@pytest.mark.parametrize("step_ms", [-86_400_000, -700, 700, 3_600_000, 900_000_000_000])
def test_step_that_nobody_vouches_for_moves_no_reading(mode: ClockMode, step_ms: int) -> None:
    kernel = FakeKernel(synchronised=True)
    clock = kernel.clock(mode)
    known = clock.utc_offset_ms()
    kernel.synchronised = False  # what a step by hand does to the kernel's flag
    kernel.utc += step_ms
    kernel.pass_ms(10_000)
    assert clock.utc_offset_ms() == known


@pytest.mark.parametrize("mode", ["trusted", "battery"])
def test_declared_clock_is_set_right_by_a_time_server(mode: ClockMode) -> None:
    kernel = FakeKernel()
    clock = kernel.clock(mode)
    assert clock.utc_offset_ms() == NOON - 5_000
    kernel.utc += 3_600_000
    kernel.synchronised = True
    assert clock.utc_offset_ms() == NOON - 5_000 + 3_600_000


@pytest.mark.parametrize("mode", ["auto", "trusted", "battery"])
def test_suspended_machine_keeps_its_offset_over_the_sleep(mode: ClockMode) -> None:
    kernel = FakeKernel(synchronised=True)
    clock = kernel.clock(mode)
    known = clock.utc_offset_ms()
    kernel.pass_ms(8 * 3_600_000)  # boot time goes on in suspend
    assert clock.utc_offset_ms() == known
    assert clock.utc_ms() == kernel.utc


def test_where_boot_time_stops_in_suspend_a_clock_that_leaps_ahead_is_followed() -> None:
    kernel = FakeKernel()
    clock = Clock(
        "trusted",
        boot_ms=kernel.read_boot,
        utc_ms=lambda: kernel.utc,
        synchronised=lambda: False,
        boot_id=lambda: "boot-a",
        sleeps=False,
    )
    known = clock.utc_offset_ms()
    assert known is not None
    kernel.utc += 3_600_000
    assert clock.utc_offset_ms() == known + 3_600_000
    kernel.utc -= 7_200_000
    assert clock.utc_offset_ms() == known + 3_600_000


@pytest.mark.parametrize("mode", ["auto", "trusted", "battery"])
def test_clock_beyond_2099_is_not_believed_in_any_mode(mode: ClockMode) -> None:
    kernel = FakeKernel(utc=4_102_444_800_000, synchronised=True)
    assert kernel.clock(mode).utc_offset_ms() is None


def test_battery_clock_before_the_newest_stored_reading_waits_for_the_kernel() -> None:
    kernel = FakeKernel()
    clock = kernel.clock("battery")
    clock.not_before_ms = NOON + 60_000
    assert clock.utc_offset_ms() is None
    kernel.utc = NOON + 10 * 60_000
    kernel.synchronised = True
    assert clock.utc_ms() == NOON + 10 * 60_000


def test_kernel_that_vouches_is_believed_although_stored_readings_are_later() -> None:
    kernel = FakeKernel(synchronised=True)
    clock = kernel.clock("battery")
    clock.not_before_ms = NOON + 60_000
    assert clock.utc_ms() == NOON


def looks(kernel: FakeKernel, watch: ClockWatch, seconds: int) -> list[tuple[bool, float | None]]:
    """Look once a second; return what was found, present and value."""
    found = []
    for _ in range(seconds):
        kernel.pass_ms(1_000)
        for finding in watch.look(kernel.boot / 1000):
            assert finding.kind == "timestamp_anomaly"
            found.append((finding.present, finding.value))
    return found


def watched(mode: ClockMode, kernel: FakeKernel) -> ClockWatch:
    watch = ClockWatch(kernel.clock(mode))
    assert looks(kernel, watch, 70) == [(False, None)]  # ends what the run before has raised
    return watch


@pytest.mark.parametrize("step_ms", [-86_400_000, -1_500, 1_500, 3_600_000])
@pytest.mark.parametrize("synchronised", [True, False])
@pytest.mark.parametrize("mode", ["auto", "trusted", "battery"])
def test_step_is_told_once_and_over_after_a_calm_minute(
    mode: ClockMode, synchronised: bool, step_ms: int
) -> None:
    kernel = FakeKernel(synchronised=synchronised)
    watch = watched(mode, kernel)
    kernel.utc += step_ms
    assert looks(kernel, watch, 60) == [(True, round(step_ms / 1000, 1))]
    assert looks(kernel, watch, 120) == [(False, None)]


def test_each_step_is_told_and_says_what_becomes_of_the_readings() -> None:
    kernel = FakeKernel(utc=90_000)  # 1970: a Pi that has just started
    watch = watched("auto", kernel)
    kernel.utc = NOON
    kernel.pass_ms(1_000)
    first, ended = watch.look(kernel.boot / 1000)[-1], watch.look(kernel.boot / 1000)
    kernel.utc += 60_000
    kernel.synchronised = True
    before, second = watch.look(kernel.boot / 1000)
    kernel.utc += 60_000
    _, third = watch.look(kernel.boot / 1000)
    kernel.synchronised = False
    kernel.utc -= 60_000
    _, fourth = watch.look(kernel.boot / 1000)
    assert (ended, before.present) == ([], False)  # the step before is over when the next comes
    assert first.detail.endswith("s ahead; it is not believed, readings wait undated")
    assert second.detail == "60 s ahead; it is believed now, and dates what waited"
    assert third.detail == "60 s ahead; a time server vouches for it, readings follow"
    assert fourth.detail == ("60 s back; it is not believed, readings keep the time that was known")


def test_slewing_and_suspending_are_no_steps() -> None:
    kernel = FakeKernel(synchronised=True)
    watch = watched("auto", kernel)
    for _ in range(300):
        kernel.pass_ms(1_000, slew_ms=20)
        assert watch.look(kernel.boot / 1000) == []
    kernel.pass_ms(8 * 3_600_000)
    assert watch.look(kernel.boot / 1000) == []


@pytest.mark.parametrize(
    ("synchronised", "words"),
    [(False, "it is not believed"), (True, "which an earlier, wrong clock may have dated")],
)
def test_clock_before_the_newest_stored_reading_is_told_at_the_start(
    synchronised: bool, words: str
) -> None:
    kernel = FakeKernel(synchronised=synchronised)
    clock = kernel.clock("battery")
    clock.not_before_ms = NOON + 3_600_000
    finding = ClockWatch(clock).look(kernel.boot / 1000)[-1]
    assert (finding.present, finding.value) == (True, -3600.0)
    assert finding.detail.startswith("behind the newest stored reading")
    assert words in finding.detail
