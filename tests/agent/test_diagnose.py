"""`packtap diagnose`: the answer, its evidence in numbers, exit codes, ports, bad input."""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ninebot_bms import Dialect, read_request
from packtap.analysis.defect_words import DEFECT_WORDS
from packtap.analysis.defects import DEFECTS
from packtap.analysis.remedies import REMEDIES, TITLES
from packtap.cli import main
from packtap.config import load_prices
from packtap.emulated_bus import EmulatedScooter
from packtap.errors import ConfigError
from packtap.model import Cause
from packtap.report.case import percentages
from packtap.simulated.scooter import Plan
from packtap.simulated.wires import Wires
from recorded import VECTORS
from serial_ends import Pty, wait_until

SCENARIOS = Path(__file__).parents[1] / "scenarios"
IMBALANCED, SILENT, HEALTHY, EMPTY, EMULATOR = (
    str(SCENARIOS / f"visit_{number:03}.log.gz") for number in (6, 24, 19, 13, 16)
)
WITHOUT_CELLS = str(VECTORS / "recordings" / "m365_esc_bms.log.gz")

Printed = pytest.CaptureFixture[str]


def diagnosed(capsys: Printed, *words: str) -> tuple[int, dict[str, Any]]:
    """Return exit code and document."""
    code = main(["diagnose", *words, "--json"])
    (line,) = capsys.readouterr().out.splitlines()
    return code, json.loads(line)


def shown(capsys: Printed, *words: str) -> tuple[int, str]:
    """Return exit code and what a person reads."""
    return main(["diagnose", *words]), capsys.readouterr().out


# The answer.


def test_a_faulty_pack_is_explained_with_cell_number_limit_and_next_test(capsys: Printed) -> None:
    code, text = shown(capsys, IMBALANCED)
    assert code == 1
    assert "Damaged cells, 96.2 %" in text.splitlines()[1]
    assert "Cell 8 is 162 mV below the median at rest" in text
    assert "(limit 4.5)" in " ".join(text.split())
    assert ">  8" in text
    assert "--observe off_after_full_charge=yes|no" in text
    assert "330-630 EUR, indicative" in text
    assert "2-4 years (a repair report's estimate, not measured)" in text
    assert "Only qualified people open a pack" in text


def test_the_document_holds_what_replay_says_and_the_measured_numbers(capsys: Printed) -> None:
    code, document = diagnosed(capsys, IMBALANCED)
    main(["replay", IMBALANCED, "--json"])
    replayed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert code == 1
    replayed.pop("derived")  # the rows of a memory: the report has the pack's own words on health
    assert {key: document[key] for key in replayed} == replayed
    assert sum(entry["probability"] for entry in document["diagnosis"]) == pytest.approx(1)
    assert document["cells"][7]["off_mv"] == -162
    assert document["source"]["sha256"] == hashlib.sha256(Path(IMBALANCED).read_bytes()).hexdigest()
    assert document["source"]["started"].startswith("2025-01-06T04:49")
    assert document["health"]["capacity_pct"] == 91.0
    assert "min more of unbroken rest" in document["lacks"]["self_discharge_cell"]


def test_a_sound_pack_is_fine_and_says_what_was_judged(capsys: Printed) -> None:
    code, text = shown(capsys, HEALTHY)
    assert code == 0
    assert "No defect of the pack" in text.splitlines()[1]
    assert "kinds of trouble were judged and not found" in " ".join(text.split())
    assert "DANGER" not in text


def test_a_silent_pack_is_a_diagnosis_board_first_and_exits_3(capsys: Printed) -> None:
    code, text = shown(capsys, SILENT)
    assert code == 3
    assert text.index("bms_board") < text.index("connection")
    words = " ".join(text.split())
    assert "the voltage at the pack's terminals, another adapter, a wire moved by hand" in words
    _, document = diagnosed(capsys, SILENT)
    assert document["silent"] is True
    assert document["next_test"]["observe"]


def test_what_separates_board_and_line_of_a_silent_pack_can_be_told(capsys: Printed) -> None:
    def board(*words: str) -> float:
        _, document = diagnosed(capsys, SILENT, *words)
        (entry,) = [each for each in document["diagnosis"] if each["cause"] == "bms_board"]
        return float(entry["probability"])

    before = board()
    assert board("--observe", "another_adapter=no") > before
    assert board("--observe", "replies_when_wire_moved=yes") < 0.2
    assert board("--observe", "pack_terminal_v=0") > before
    assert board("--observe", "pack_terminal_v=36.5") == pytest.approx(before)
    assert board("--observe", "pack_terminal_v=36.5", "--cells", "10") < before


def test_two_answers_to_one_question_are_asked_back(capsys: Printed) -> None:
    twice = ("--observe", "charges=yes", "--observe", "charges=no")
    with pytest.raises(SystemExit) as ended:
        main(["diagnose", HEALTHY, *twice])
    assert ended.value.code == 2
    assert "charges was answered twice, yes and no" in capsys.readouterr().err


def test_an_error_code_of_the_scooter_enters_as_evidence(capsys: Printed) -> None:
    _, document = diagnosed(capsys, SILENT, "--esc-error", "21")
    assert document["diagnosis"][0]["cause"] == "bms_board"
    assert document["evidence"]["esc_silent"].endswith("code 21")


def test_a_pack_that_answers_is_not_called_silent_because_the_scooter_does(
    capsys: Printed,
) -> None:
    # Ten seconds cannot tell whether answers come and go: there the plug is suspected first.
    for capture, defect in ((HEALTHY, "scooter_line"), (WITHOUT_CELLS, "data_plug")):
        _, document = diagnosed(capsys, capture, "--esc-error", "21")
        first = document["diagnosis"][0]
        assert (first["cause"], first["defect"]) == ("connection", defect)
        assert "yet the pack answers here: code 21" in document["evidence"]["esc_silent_answered"]
        assert all(entry["defect"] != "board_silent" for entry in document["diagnosis"])


def test_danger_comes_first_and_nobody_is_told_to_charge(capsys: Printed) -> None:
    code, text = shown(capsys, EMPTY)
    assert code == 1
    assert "DANGER" in text.splitlines()[0]
    _, document = diagnosed(capsys, EMPTY)
    assert any("Do not charge" in line for line in document["stop"])
    assert document["in_danger"] is True
    assert all("charge fully" not in r["words"] for s in document["suspects"] for r in s["repairs"])
    _, text = shown(capsys, HEALTHY, "--observe", "swollen_or_hot=yes")
    assert "fire brigade" in " ".join(text.split())[:600]


def test_who_the_pack_is_and_whether_that_can_be_believed_is_said(capsys: Printed) -> None:
    _, document = diagnosed(capsys, EMULATOR)
    assert document["identity"]["doubtful"] is True
    assert "emulator" in document["identity"]["looks"]
    assert document["cells"] == []
    assert document["health"]["health_pct"] is None
    _, document = diagnosed(capsys, HEALTHY)
    assert document["identity"]["doubtful"] is False


def test_a_stock_scooter_asks_for_no_cells_and_that_is_said(capsys: Printed) -> None:
    _, text = shown(capsys, WITHOUT_CELLS)
    assert "Nobody asked for cells" in text
    assert "cell voltages" in text


def test_a_line_on_which_nobody_answers_gives_no_ranking(tmp_path: Path, capsys: Printed) -> None:
    recording = tmp_path / "quiet.hex"
    recording.write_text("00 00 00\n")
    report = tmp_path / "report.html"
    assert main(["diagnose", str(recording), "--json", "--report", str(report)]) == 3
    printed = capsys.readouterr()
    assert json.loads(printed.out)["diagnosis"] == []
    assert "No frame is in" in printed.err
    assert not report.exists()


def test_what_a_person_tells_alone_is_judged(tmp_path: Path, capsys: Printed) -> None:
    recording = tmp_path / "quiet.hex"
    recording.write_text("00 00 00\n")
    code, document = diagnosed(capsys, str(recording), "--observe", "moisture_seen=yes")
    assert code == 3
    assert document["answers"] == ["traces of water"]
    assert document["diagnosis"]


def test_the_screen_fits_80_columns_without_colour_and_through_a_pipe() -> None:
    for capture in (IMBALANCED, SILENT, EMULATOR):
        done = subprocess.run(
            [sys.executable, "-m", "packtap", "diagnose", capture],
            capture_output=True,
            check=False,
            env={"PATH": "/usr/bin", "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"},
        )
        assert done.stderr == b""
        text = done.stdout.decode()
        assert "\x1b" not in text
        assert max(map(len, text.splitlines())) <= 80


def test_it_runs_without_modules_that_only_posix_has(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    script = (
        "import sys\n"
        "for name in ('termios', 'tty', 'pty', 'fcntl', 'pwd', 'grp', 'resource', 'syslog'):\n"
        "    sys.modules[name] = None\n"
        "from packtap.cli import main\n"
        f"sys.exit(main(['diagnose', {IMBALANCED!r}, '--report', {str(report)!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.stderr == b""
    assert done.returncode == 1
    assert "Pack 3JEGJ22FMA8603" in report.read_text()


# Ports.


@pytest.fixture
def bench() -> Iterator[str]:
    """A pack alone on the bench; its port."""
    scooter = EmulatedScooter(Wires(Plan(seed=3), is_bench=True))
    stop = threading.Event()
    thread = threading.Thread(target=scooter.run, args=(stop,))
    thread.start()
    yield scooter.lines["bms"].path
    stop.set()
    thread.join()


def test_a_pack_on_the_bench_is_asked_and_the_recording_gives_the_same(
    bench: str, tmp_path: Path, capsys: Printed
) -> None:
    saved = tmp_path / "visit.log"
    code, live = diagnosed(capsys, bench, "--bench", "--seconds", "5", "--save", str(saved))
    assert code == 0
    assert live["source"]["how"] == "asked on the bench"
    assert len(live["cells"]) == 10
    assert live["source"]["sha256"] == hashlib.sha256(saved.read_bytes()).hexdigest()
    code, again = diagnosed(capsys, str(saved), "--bench")
    assert code == 0
    assert again["readings"] == live["readings"]
    # Only a recording can have a clock that jumps.
    assert set(again["evidence"]) - {"no timestamp_anomaly"} == set(live["evidence"])
    assert again["cells"] == live["cells"]
    assert again["source"]["sha256"] == live["source"]["sha256"]


def test_listening_sends_nothing_and_says_when_nothing_comes(capsys: Printed) -> None:
    pty = Pty()
    try:
        assert main(["diagnose", pty.device, "--seconds", "1"]) == 3
        assert not pty.was_told
    finally:
        pty.unplug()
    assert "Nothing was heard" in capsys.readouterr().err


def test_a_bench_that_nobody_answers_is_a_silent_pack(capsys: Printed) -> None:
    pty = Pty()
    try:
        code, document = diagnosed(capsys, pty.device, "--bench", "--seconds", "9")
        assert pty.was_told
    finally:
        pty.unplug()
    assert code == 3
    assert document["silent"] is True
    assert document["diagnosis"][0]["cause"] == "bms_board"


def test_beside_another_master_nothing_is_sent_and_that_is_said(capsys: Printed) -> None:
    pty = Pty()
    told: list[tuple[int, dict[str, Any]]] = []

    def visit() -> None:
        told.append(diagnosed(capsys, pty.device, "--bench", "--seconds", "4"))

    thread = threading.Thread(target=visit)
    thread.start()

    def ask() -> bool:
        pty.write(read_request(Dialect.XIAOMI, 0x31, 10))
        return not thread.is_alive()

    wait_until(ask)
    thread.join()
    assert not pty.was_told
    pty.unplug()
    assert "another master" in told[0][1]["source"]["trouble"]


def test_a_port_that_is_not_there_is_one_line_and_exits_2(capsys: Printed) -> None:
    assert main(["diagnose", "/dev/ttyNOTHING"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert "there is no /dev/ttyNOTHING" in printed.err


# Bad input.


def test_what_was_read_before_a_recording_breaks_off_is_diagnosed(
    tmp_path: Path, capsys: Printed
) -> None:
    whole = Path(IMBALANCED).read_bytes()
    cut = tmp_path / "cut.log.gz"
    cut.write_bytes(whole[: len(whole) // 2])
    assert main(["diagnose", str(cut), "--json"]) == 2
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert document["diagnosis"][0]["cause"] == "cell_damage"
    assert "breaks off" in printed.err
    assert "breaks off" in document["source"]["trouble"]
    assert document["source"]["sha256"] == hashlib.sha256(cut.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing.log"], "no such file"),
        ([IMBALANCED, "--save", "x.log"], "is a recording already"),
        ([IMBALANCED, "--prices", "nothing.toml"], "no such file"),
        ([IMBALANCED, "--report", "/nowhere/report.html"], "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exits_2(
    words: list[str], said: str, capsys: Printed
) -> None:
    assert main(["diagnose", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


# Prices, words.


def test_prices_of_your_own_are_used(tmp_path: Path, capsys: Printed) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('[prices]\npack = [300, 300]\nlabour = [60.5, 90]\ncurrency = "CHF"\n')
    _, text = shown(capsys, IMBALANCED, "--prices", str(prices))
    assert "360.5-390 CHF" in text
    assert load_prices(prices).board == (50, 150)


def test_every_mistake_in_the_prices_is_said(tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text("[prices]\nbord = [1, 2]\npack = [9, 3]\nlabour = true\ncurrency = 4\n")
    with pytest.raises(ConfigError) as error:
        load_prices(prices)
    assert [problem.partition(":")[0] for problem in error.value.problems] == [
        "prices.bord",
        "prices.pack",
        "prices.labour",
        "prices.currency",
    ]
    prices.write_text("pack = [1, 2]\n")
    with pytest.raises(ConfigError, match="no table"):
        load_prices(prices)


def test_every_cause_and_defect_has_words_checks_and_repairs() -> None:
    assert {defect.name for defect in DEFECTS} == set(DEFECT_WORDS)
    assert set(REMEDIES) == set(TITLES) == set(Cause)
    for remedy in REMEDIES.values():
        assert remedy.visual
        assert remedy.multimeter
        assert remedy.connector
        assert remedy.repairs
        assert remedy.prevention


def test_no_check_sends_a_layman_into_a_pack() -> None:
    for remedy in REMEDIES.values():
        for words in (*remedy.visual, *remedy.multimeter, *remedy.connector):
            if "open" in words.lower() and "Open plugs" not in words:
                assert words.startswith("Opened by a specialist"), words


@pytest.mark.parametrize(
    "shares", [[1.0], [1 / 3] * 3, [1 / 7] * 7, [0.9996, 0.0002, 0.0002], [0.5, 0.5, 0.0]]
)
def test_percentages_that_are_shown_sum_to_100(shares: list[float]) -> None:
    shown_pct = percentages(shares)
    assert sum(round(10 * share) for share in shown_pct) == 1000
    assert all(
        abs(share - 100 * exact) <= 0.1 for share, exact in zip(shown_pct, shares, strict=True)
    )


def test_a_simulated_recording_is_called_simulated_and_no_other_is(
    tmp_path: Path, capsys: Printed
) -> None:
    capture = tmp_path / "ride.log.gz"
    assert (
        main(["simulate", "--fault", "dead_cell:3", "--seconds", "60", "--out", str(capture)]) == 0
    )
    capsys.readouterr()
    _, document = diagnosed(capsys, str(capture))
    assert document["source"]["simulated"] is True
    _, text = shown(capsys, str(capture))
    assert text.startswith(("SIMULATED", "╭"))
    assert "SIMULATED: this recording is of no real scooter." in text
    _, document = diagnosed(capsys, IMBALANCED)
    assert document["source"]["simulated"] is False
