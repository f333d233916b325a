"""The doctor among emulated wires: the right verdict for each case, in time, and nothing sent.

What its UART reads is computed from the copper bit by bit (`uart_wire`); time is told.
"""

import random
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor_wires import (
    STOCK,
    BenchWire,
    Copper,
    ListenedWire,
    World,
    frames_in,
    pack_of,
    played,
    scooter,
    sent,
)
from fake_wire import Read, lossy
from ninebot_bms import BMS2, Dialect, read_request
from ninebot_bms.commands import is_read_request
from packtap.cli.doctor import report
from packtap.doctor import BUDGET_S, Check, Listener, Outcome, Plan, Verdict, examine
from packtap.doctor.asking import ASK_BUDGET_S
from packtap.doctor.delivery import DELIVERY_BUDGET_S
from packtap.doctor.inverted import MIN_HITS, image, inverted_hits
from packtap.doctor.listening import LISTEN_BUDGET_S
from packtap.doctor.verdict_rows import BENCH_ROWS, LISTEN_ROWS
from packtap.errors import LinkError, LinkTrouble
from uart_wire import Sent, read_wave, resampled, wave_of

LONG_S = 25.0
XIAOMI, NINEBOT = Dialect
BOTH = pytest.mark.parametrize("dialect", Dialect)
#: How UARTs and their drivers differ in what they make of a missing stop bit.
UARTS = pytest.mark.parametrize(
    ("drops", "waits"), [(True, True), (True, False), (False, True), (False, False)]
)


class Found:
    """What an examination among emulated wires gave."""

    def __init__(self, checks: Iterable[Check], verdict: Verdict, seconds: float) -> None:
        self.by_name = {
            check.name if check.line is None else f"{check.name} ({check.line})": check
            for check in checks
        }
        self.verdict = verdict
        self.seconds = seconds

    def outcome(self, name: str) -> Outcome:
        return self.by_name[name].outcome

    @property
    def tried(self) -> set[str]:
        return {
            name for name, check in self.by_name.items() if check.outcome is not Outcome.NOT_TRIED
        }

    @property
    def failed(self) -> set[str]:
        return {name for name, check in self.by_name.items() if check.outcome is Outcome.FAIL}


def look(*, bench: bool = False, **wires: ListenedWire | BenchWire) -> Found:
    """Examine these wires; time is told, so the budget is kept exactly or not at all."""
    world = World(**wires)
    plan = Plan(tuple(world.listeners), is_bench=bench)
    found = examine(plan, world.tools)
    assert world.seconds <= (ASK_BUDGET_S if bench else LISTEN_BUDGET_S)
    if not bench:
        assert not any(wire.written for wire in wires.values())
    assert all(is_read_request(each) for wire in wires.values() for each in wire.written)
    lines = list(report(found))
    assert max(len(line) for line in lines) <= 80
    assert len(lines) <= 24 + 8 * (len(wires) - 1), "\n".join(lines)
    # Nothing is fine that has a fault, and a verdict of a fault stands beside one.
    assert found.verdict.is_fine == (not Found(found.checks, found.verdict, 0).failed)
    return Found(found.checks, found.verdict, world.seconds)


def test_no_run_can_take_half_a_minute() -> None:
    assert max(LISTEN_BUDGET_S, ASK_BUDGET_S, DELIVERY_BUDGET_S) <= BUDGET_S < 30


# Listening.


@BOTH
def test_a_pack_that_answers_is_heard(dialect: Dialect) -> None:
    found = look(bms=ListenedWire(sent(scooter(dialect, LONG_S), "bms")))
    assert (found.verdict.name, found.verdict.is_fine) == ("pack_heard", True)
    assert found.outcome("dialect") is Outcome.PASS
    assert dialect.value in found.by_name["dialect"].seen.lower()
    assert found.by_name["address"].seen.startswith("0x22")
    # What only a bench can tell is not called fine.
    assert found.outcome("own echo") is Outcome.NOT_TRIED


def test_what_was_not_tried_is_named_with_its_reason() -> None:
    found = look(bms=ListenedWire(sent(scooter(XIAOMI, LONG_S), "bms")))
    untried = {
        name: check.seen
        for name, check in found.by_name.items()
        if check.outcome is Outcome.NOT_TRIED
    }
    assert "--config" in untried["broker reachable"]
    assert "--config" in untried["clock"]
    assert "--bench" in untried["own echo"]
    assert all(untried.values())


@BOTH
def test_both_wires_of_a_scooter_are_heard(dialect: Dialect) -> None:
    reads = scooter(dialect, LONG_S)
    found = look(
        bms=ListenedWire(sent(reads, "bms")), esc=ListenedWire(sent(reads, "esc", from_s=-1))
    )
    assert found.verdict.name == "pack_heard"
    assert found.outcome("who asks") is Outcome.PASS
    assert "bytes (esc)" in found.by_name


def test_silence_is_nothing_and_nothing_is_called_fine() -> None:
    found = look(bms=ListenedWire([]))
    assert (found.verdict.name, found.verdict.is_silent) == ("nothing", True)
    assert found.failed == {"bytes"}
    assert {"baud rate", "polarity", "dialect", "pack", "address", "own echo"}.isdisjoint(
        found.tried
    )


def test_a_stray_byte_of_switching_on_is_silence_too() -> None:
    # A node that powers up leaves a 0x00 (a break) behind, as on the recordings.
    found = look(bms=ListenedWire([Sent(1002.0, b"\x00"), Sent(1003.0, b"\x00")]))
    assert found.verdict.name == "nothing"
    assert found.verdict.seen.startswith("2 bytes")


@BOTH
def test_a_replacement_bms_at_76800_baud_is_found(dialect: Dialect) -> None:
    found = look(bms=ListenedWire(sent(scooter(dialect, LONG_S), "bms", baud=76800)))
    assert found.verdict.name == "other_rate"
    assert "76800" in found.by_name["baud rate"].seen
    assert "76800" in found.verdict.seen


@BOTH
@UARTS
def test_a_rate_is_found_whatever_the_uart_makes_of_missing_stop_bits(
    dialect: Dialect, drops: bool, waits: bool
) -> None:
    copper = Copper(drops=drops, waits=waits)
    found = look(bms=ListenedWire(sent(scooter(dialect, LONG_S), "esc", baud=76800), copper))
    assert found.verdict.name == "other_rate"


@pytest.mark.parametrize("baud", [57600, 38400, 19200, 9600])
def test_a_rate_that_no_board_has_is_found_too(baud: int) -> None:
    # A slow bit is many fast ones: nearly every byte misses its stop bit, and Linux hands it over.
    copper = Copper(drops=False)
    found = look(bms=ListenedWire(sent(scooter(XIAOMI, 120), "bms", baud=baud), copper))
    assert found.verdict.name == "other_rate"
    assert str(baud) in found.verdict.seen


def test_the_rate_that_a_configuration_wants_comes_first() -> None:
    wire = ListenedWire(sent(scooter(XIAOMI, LONG_S), "bms", baud=76800))
    world = World(bms=wire)
    found = examine(Plan((Listener("bms", "bms", 76800),)), world.tools)
    assert found.verdict.name == "pack_heard"
    wire = ListenedWire(sent(scooter(XIAOMI, LONG_S), "bms"))
    world = World(bms=wire)
    found = examine(Plan((Listener("bms", "bms", 76800),)), world.tools)
    assert (found.verdict.name, "115200" in found.verdict.seen) == ("other_rate", True)


def test_a_rate_that_the_adapter_does_not_know_is_not_called_tried() -> None:
    wire = ListenedWire(sent(scooter(XIAOMI, LONG_S), "bms", baud=76800), refuses=[76800, 57600])
    found = look(bms=wire)
    assert found.verdict.name == "unreadable"
    assert "76800" not in found.by_name["baud rate"].seen
    assert "cannot run at 76800, 57600 baud" in found.by_name["other rates"].seen


@BOTH
@UARTS
@pytest.mark.parametrize("line", ["esc", "bms"])
def test_an_upside_down_line_is_told_from_a_wrong_rate(
    dialect: Dialect, line: str, drops: bool, waits: bool
) -> None:
    copper = Copper(inverted=True, drops=drops, waits=waits)
    found = look(bms=ListenedWire(sent(scooter(dialect, LONG_S), line), copper))
    assert found.verdict.name == "inverted"
    assert found.outcome("polarity") is Outcome.FAIL


@pytest.mark.parametrize(
    ("name", "line", "from_s"),
    [("m365_esc_bms", "esc", 0.1), ("m365_esc_bms", "bms", 0.1), ("m365_dash_app", "dash", 18.0)],
)
@UARTS
def test_a_genuine_recording_upside_down_is_told(
    name: str, line: str, from_s: float, drops: bool, waits: bool
) -> None:
    copper = Copper(inverted=True, drops=drops, waits=waits)
    found = look(bms=ListenedWire(sent(played(name, LONG_S, line, from_s=from_s), line), copper))
    assert found.verdict.name == "inverted"


@BOTH
@pytest.mark.parametrize("baud", [9600, 19200, 38400, 57600, 76800, 100000, 230400, 250000])
@UARTS
def test_no_upright_line_at_any_rate_looks_upside_down(
    dialect: Dialect, baud: int, drops: bool, waits: bool
) -> None:
    reads = scooter(dialect, 5.0)
    for line in ("esc", "bms"):
        wave = wave_of(sent(reads, line, baud=baud))
        heard = bytes(byte for _, byte in read_wave(wave, STOCK, drops=drops, waits=waits))
        assert inverted_hits(heard) < MIN_HITS


@given(st.binary(max_size=4096))
def test_noise_does_not_look_upside_down(noise: bytes) -> None:
    assert inverted_hits(noise) < MIN_HITS


@UARTS
def test_the_image_of_an_opening_is_what_a_uart_reads_of_it(drops: bool, waits: bool) -> None:
    # Two ways to the same bytes: levels a bit in the doctor, edges in time in the test.
    for opening in (read_request(each, 0x10, 16) for each in Dialect):
        wave = wave_of([Sent(0.0, opening + b"\x00\x00")]).inverted()
        heard = bytes(byte for _, byte in read_wave(wave, STOCK, drops=drops, waits=waits))
        assert heard.startswith(image(opening, waits=waits, drops=drops))
        assert len(image(opening, waits=waits, drops=drops)) >= 3


@BOTH
def test_two_wires_on_one_rx_are_told(dialect: Dialect) -> None:
    found = look(bms=ListenedWire(sent(scooter(dialect, LONG_S), "esc", "bms")))
    assert found.verdict.name == "joined_lines"
    assert found.outcome("joined wires") is Outcome.FAIL


def test_two_wires_of_a_genuine_recording_on_one_rx_are_told() -> None:
    both = played("m365_esc_bms", LONG_S, "esc", "bms", from_s=1.0)
    assert look(bms=ListenedWire(sent(both, "esc", "bms"))).verdict.name == "joined_lines"


def test_the_dashboards_one_wire_is_not_taken_for_joined_wires() -> None:
    reads = played("m365_dash_app", LONG_S, "dash", from_s=28.0)
    found = look(bms=ListenedWire(sent(reads, "dash")))
    assert found.verdict.name == "pack_heard"  # the app reads the pack here
    assert found.outcome("joined wires") is Outcome.PASS


def test_the_dashboards_wire_is_no_pack() -> None:
    reads = played("m365_dash_app", 8.0, "dash", from_s=18.0)
    found = look(bms=ListenedWire(sent(reads, "dash")))
    assert (found.verdict.name, found.verdict.is_fine) == ("dashboard_bus", False)


def test_the_dashboards_wire_under_its_own_name_is_fine_and_claims_no_pack() -> None:
    reads = played("m365_dash_app", 8.0, "dash", from_s=18.0)
    found = look(dash=ListenedWire(sent(reads, "dash")))
    assert (found.verdict.name, found.verdict.is_fine) == ("dashboard_heard", True)
    assert found.outcome("pack") is Outcome.NOT_TRIED


def test_only_the_esc_is_heard_and_the_pack_lives_on_the_other_wire() -> None:
    for dialect in Dialect:
        reads = sent(scooter(dialect, LONG_S), "esc", from_s=-2.0)
        found = look(bms=ListenedWire(each for each in reads if each.t >= 1000))
        assert found.verdict.name == "esc_only"
        assert "pin R" in found.verdict.next[0]


@BOTH
def test_an_esc_that_knocks_in_vain_means_a_pack_that_does_not_answer(dialect: Dialect) -> None:
    found = look(bms=ListenedWire(sent(scooter(dialect, LONG_S, pack=False), "esc")))
    assert found.verdict.name == "esc_knocks"
    assert found.outcome("awake") is Outcome.FAIL
    assert "66" in found.by_name["awake"].seen or "67" in found.by_name["awake"].seen


def test_the_recorded_esc_without_a_pack_knocks_in_vain() -> None:
    reads = played("m365_esc_no_bms", LONG_S, "esc", from_s=1.0)
    assert look(bms=ListenedWire(sent(reads, "esc"))).verdict.name == "esc_knocks"


def test_a_knocking_esc_beside_a_silent_wire_of_the_pack_says_so() -> None:
    reads = scooter(XIAOMI, LONG_S, pack=False)
    found = look(bms=ListenedWire([]), esc=ListenedWire(sent(reads, "esc")))
    assert found.verdict.name == "esc_knocks"
    assert found.outcome("bytes (bms)") is Outcome.FAIL
    assert found.outcome("bytes (esc)") is Outcome.PASS


def test_an_external_pack_is_named_by_its_address() -> None:
    pack = pack_of(NINEBOT, address=BMS2)
    reads: list[Read] = []
    for number in range(100):
        at = number * 0.2
        request = read_request(NINEBOT, 0x30, 12, target=BMS2, source=0x20)
        pack.receive_data(request, at)
        while (reply := pack.next_send(at + 0.02)) is not None:
            reads.append((at + 0.02, "bms", reply))
    found = look(bms=ListenedWire(sent(reads, "bms")))
    assert found.by_name["address"].seen.startswith("0x23, the external pack")


def test_a_second_master_on_the_dashboards_wire_collides() -> None:
    reads = played("m365_dash_app", LONG_S, "dash", from_s=18.0)
    rng = random.Random(4)
    second = [
        Sent(1000 + number * 0.07 + rng.uniform(0, 0.03), read_request(XIAOMI, 0x40, 20))
        for number in range(int(LONG_S / 0.07))
    ]
    found = look(dash=ListenedWire([*sent(reads, "dash"), *second]))
    assert found.verdict.name == "collisions"
    assert found.outcome("collisions") is Outcome.FAIL


def test_a_phone_that_reads_over_the_dashboards_wire_is_no_collision() -> None:
    reads = played("m365_dash_app", LONG_S, "dash", from_s=29.0)
    torn = [
        (t, line, data[:-1] if n % 90 == 7 else data) for n, (t, line, data) in enumerate(reads)
    ]
    found = look(dash=ListenedWire(sent(torn, "dash")))
    assert found.verdict.name == "pack_heard"
    assert found.outcome("collisions") is Outcome.PASS


def test_the_normal_background_of_damaged_frames_is_no_collision() -> None:
    reads = scooter(XIAOMI, LONG_S)
    one_bad = [(t, line, data[:-1] if n == 7 else data) for n, (t, line, data) in enumerate(reads)]
    assert look(bms=ListenedWire(sent(one_bad, "bms"))).verdict.name == "pack_heard"


def test_frames_that_never_arrive_whole_are_told_from_noise() -> None:
    def cut(reads: list[Read]) -> list[Read]:
        return [(t, line, bytes((*data[:7], data[7] ^ 0x11, *data[8:]))) for t, line, data in reads]

    found = look(bms=ListenedWire(sent(cut(scooter(XIAOMI, LONG_S)), "bms")))
    assert found.verdict.name == "damaged_frames"


def test_noise_of_an_open_rx_is_unreadable_and_no_frame_is_invented() -> None:
    rng = random.Random(7)
    noise = [
        Sent(1000 + n * 0.004, bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9))), 31250)
        for n in range(6000)
    ]
    found = look(bms=ListenedWire(noise))
    assert found.verdict.name == "unreadable"
    assert found.outcome("polarity") is Outcome.NOT_TRIED
    # The worst case of listening: every rate was tried.
    assert found.seconds < LISTEN_BUDGET_S


def test_a_person_may_switch_the_scooter_on_while_the_doctor_listens() -> None:
    late = sent(scooter(XIAOMI, LONG_S), "bms", from_s=5.0)
    found = look(bms=ListenedWire(late))
    # Enough is heard before the end of its patience to name the pack.
    assert found.verdict.name == "pack_heard"


# The bench.


@BOTH
@pytest.mark.parametrize("asleep", [False, True])
@pytest.mark.parametrize("echoes", [False, True])
def test_a_pack_on_the_bench_answers(dialect: Dialect, asleep: bool, echoes: bool) -> None:
    pack = pack_of(dialect, asleep=asleep)
    found = look(bench=True, bms=BenchWire(pack, echoes=echoes))
    assert (found.verdict.name, found.verdict.is_fine) == ("pack_answers", True)
    assert pack.refused <= 1  # what a short map refuses; nothing that changes anything
    assert ("slept" in found.by_name["awake"].seen) is asleep
    assert dialect.value in found.by_name["dialect"].seen.lower()
    assert ("came back" in found.by_name["own echo"].seen) is echoes


def test_a_pack_that_wakes_late_is_waited_for() -> None:
    found = look(bench=True, bms=BenchWire(pack_of(XIAOMI, asleep=True, wakes_after_s=3.0)))
    assert found.verdict.name == "pack_answers"
    assert "3." in found.by_name["awake"].seen


def test_nothing_on_the_bench_answers() -> None:
    wire = BenchWire(None)
    found = look(bench=True, bms=wire)
    assert (found.verdict.name, found.verdict.is_silent) == ("bench_silent", True)
    asked = set(wire.written)
    assert {read_request(dialect, 0x10, 16) for dialect in Dialect} <= asked
    assert read_request(NINEBOT, 0x10, 16, target=BMS2) in asked


@BOTH
def test_a_bench_finds_the_replacement_bms_at_76800_baud(dialect: Dialect) -> None:
    found = look(bench=True, bms=BenchWire(pack_of(dialect), baud=76800))
    assert found.verdict.name == "other_rate"
    assert found.outcome("pack") is Outcome.PASS


def test_a_pack_that_answers_as_the_external_one_is_told() -> None:
    found = look(bench=True, bms=BenchWire(pack_of(NINEBOT, address=BMS2)))
    assert found.verdict.name == "external_pack"
    assert found.outcome("address") is Outcome.FAIL


def test_an_adapter_that_hears_only_itself_is_told() -> None:
    found = look(bench=True, bms=BenchWire(None, echoes=True))
    assert found.verdict.name == "own_echo"
    assert found.outcome("own echo") is Outcome.FAIL
    # That a frame came back says nothing about the rate or the dialect of a pack.
    assert {"baud rate", "dialect", "polarity", "collisions"}.isdisjoint(found.tried)


@BOTH
def test_a_bench_behind_an_inverter_is_told(dialect: Dialect) -> None:
    found = look(bench=True, bms=BenchWire(pack_of(dialect), copper=Copper(inverted=True)))
    assert found.verdict.name == "inverted"


def test_a_bad_contact_on_the_bench_is_told() -> None:
    found = look(bench=True, bms=BenchWire(pack_of(XIAOMI), mangle=lossy(0.4, 3)))
    assert found.verdict.name == "pack_answers_badly"


def in_time(reads: list[Read], line: str) -> list[Sent]:
    return [each for each in sent(reads, line, from_s=-0.5) if each.t >= 1000]


@BOTH
@pytest.mark.parametrize("line", ["esc", "bms"])
def test_beside_a_connected_esc_a_bench_sends_not_one_byte(dialect: Dialect, line: str) -> None:
    wire = BenchWire(None, beside=in_time(scooter(dialect, LONG_S), line))
    found = look(bench=True, bms=wire)
    assert found.verdict.name == "another_master"
    assert wire.written == []
    assert found.outcome("who asks") is Outcome.FAIL
    assert found.outcome("pack") is Outcome.NOT_TRIED


def test_an_esc_that_is_switched_on_meanwhile_ends_the_asking() -> None:
    beside = sent(scooter(XIAOMI, LONG_S, pack=False), "esc", from_s=3.0)
    wire = BenchWire(None, beside=beside)
    found = look(bench=True, bms=wire)
    assert found.verdict.name == "another_master"
    # An ESC's knock looks like our own: only that there are too many gives it away.
    assert found.seconds < 4.0


# Ports.


class Refusing:
    """A port that cannot be opened, or is lost."""

    def __init__(self, error: LinkError, *, when: str) -> None:
        self._error = error
        self._when = when

    def open(self) -> list[str]:
        if self._when == "open":
            raise self._error
        return []

    def read(self) -> bytes:
        raise self._error

    def send(self, data: bytes) -> None:
        raise AssertionError("nothing may be sent")

    def close(self) -> None:
        pass


@pytest.mark.parametrize("bench", [False, True])
@pytest.mark.parametrize("when", ["open", "read"])
@pytest.mark.parametrize("trouble", LinkTrouble)
def test_a_port_that_cannot_be_used_is_the_verdict(
    trouble: LinkTrouble, when: str, bench: bool
) -> None:
    world = World(bms=ListenedWire([]))
    line = Refusing(LinkError("bms: seen this, try that", trouble), when=when)
    make: Callable[..., Refusing] = lambda *_names, **_options: line  # noqa: E731
    tools = type(world.tools)(make, world.clock, world.said.append)
    found = examine(Plan((Listener("bms", "bms"),), is_bench=bench), tools)
    assert found.verdict.name.startswith("port_")
    assert found.verdict.seen == "bms: seen this, try that"
    assert not found.verdict.is_fine
    assert not found.verdict.is_silent
    on_the_wire = {check.name: check.outcome for check in found.checks}
    assert on_the_wire["serial port"] is Outcome.FAIL
    assert on_the_wire["bytes"] is Outcome.NOT_TRIED


def test_no_port_at_all_is_a_fault() -> None:
    world = World()
    found = examine(Plan(()), world.tools)
    assert (found.verdict.name, found.verdict.is_silent) == ("no_port", False)


# The rows.


def test_every_verdict_says_what_it_means_and_what_to_do_next() -> None:
    for rows in (LISTEN_ROWS, BENCH_ROWS):
        assert len({row.name for row in rows}) == len(rows)
        for row in rows:
            assert row.title.endswith(".")
            assert len(row.title) + len(f" [{row.name}, 30 s]") <= 80
            assert row.means
            assert row.next
            assert not (row.is_fine and row.is_silent)


def test_no_verdict_sends_a_layman_into_a_pack() -> None:
    for row in (*LISTEN_ROWS, *BENCH_ROWS):
        for text in (row.means, *row.next):
            assert "open the pack" not in text.replace("Do not open the pack", "")
            if "easure" in text or "oltage" in text:
                assert text.startswith("Qualified person")


def test_the_emulated_wire_carries_what_its_pack_sent() -> None:
    reads = scooter(XIAOMI, 3.0)
    plain = b"".join(data for _, line, data in reads if line == "bms")
    wire = ListenedWire(sent(reads, "bms"))
    assert wire.between(0, 2000, STOCK) == plain
    assert frames_in(plain) > 10
    assert frames_in(wire.between(0, 2000, 76800)) == 0
    assert frames_in(resampled(plain, 76800, STOCK)) == 0
