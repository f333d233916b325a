"""The command line as people and scripts use it: help, exit codes, what is printed where."""

import contextlib
import gzip
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ninebot_bms import CaptureReader
from packtap import __version__, kinds
from packtap.cli import COMMANDS, main
from packtap.clock import boot_id, boot_ms
from packtap.kinds import KINDS
from packtap.model import Cause, Severity
from packtap.now_file import NowFile
from packtap.simulated.fault_rows import FAULTS
from presents import document_of, event, present_of
from recorded import VECTORS
from rides import failing, reads
from serial_ends import wait_until
from stories import HEALTHY, snapshot

GOLDEN = Path(__file__).parent.parent / "golden"
RECORDINGS = VECTORS / "recordings"
SOUND = ("m365_esc_bms", "m365_dash_app")

Printed = pytest.CaptureFixture[str]


def packtap(*words: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "packtap", *words], input=stdin, capture_output=True, check=False
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


# Help and usage.


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: Printed) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert f"packtap {command}" in printed
    assert COMMANDS[command].split(",")[0].split(":")[0] in " ".join(printed.split())


def test_the_help_names_every_command_and_what_exit_codes_mean(capsys: Printed) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert all(command in printed for command in COMMANDS)
    assert "0 fine, 1 fault found, 2 usage or configuration, 3 nothing answers" in " ".join(
        printed.split()
    )


def test_the_version_is_printed(capsys: Printed) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"packtap {__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "COMMAND"),
        (["frobnicate"], "frobnicate"),
        (["--json"], "COMMAND"),
        (["events", "--json", "--markdown"], "not allowed with"),
        (["replay"], "capture"),
        (["replay", "x", "--esc-error", "9"], "10-50"),
        (["simulate", "--cells", "ten"], "--cells"),
        (["demo", "--seconds", "soon"], "--seconds"),
        (["demo", "--seconds", "-1"], "'-1' is no time"),
        (["demo", "--seconds", "nan"], "'nan' is no time"),
        (["demo", "--onset", "nan"], "'nan' is no time"),
        (["simulate", "--seconds", "-1"], "'-1' is no time"),
        (["simulate", "--seconds", "nan"], "'nan' is no time"),
        (["ingest", "--json", "--every", "-5"], "'-5' is no time"),
        (["ingest", "--json", "--every", "0"], "'0' is no time"),
        (["ingest", "--mqtt-port", "abc"], "'abc' is no port: a number from 1 to 65535"),
        (["ingest", "--mqtt-port", "70000"], "'70000' is no port: a number from 1 to 65535"),
    ],
    ids=["nothing", "unknown command", "an option alone", "two forms", "no capture", "error code",
         "no number", "no time", "demo -1", "demo nan", "fault nan", "simulate -1", "simulate nan",
         "every -5", "every 0", "port abc", "port 70000"],
)  # fmt: skip
def test_wrong_usage_is_said_and_exits_2(words: list[str], said: str, capsys: Printed) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        (["demo", "--seconds", "1"], "iotcore", "demo"),
        (["ingest", "--config", "x"], "msgspec", "ingest"),
        (["watch", "--once"], "rich", "cli"),
    ],
)
def test_a_missing_optional_package_is_one_line_with_what_to_install(
    words: list[str], package: str, extra: str, tmp_path: Path
) -> None:
    now_file = tmp_path / "now.json"
    NowFile(now_file).replace(present_now())
    if words[0] == "watch":
        words = [*words, str(now_file)]
    # None in sys.modules is how Python says that a module is not there.
    code = (
        "import sys; sys.modules[sys.argv[1]] = None; from packtap.cli import main; "
        "sys.exit(main(sys.argv[2:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, package, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert package in line
    assert f"pip install 'packtap[{extra}]'" in line


def test_a_missing_module_of_our_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "packtap.cli.events", None)
    with pytest.raises(ModuleNotFoundError):
        main(["events"])


def test_a_command_imports_only_what_it_needs() -> None:
    code = (
        "import sys; from packtap.cli import main; main(['events', '--json']); "
        "print(sorted({n.partition('.')[0] for n in sys.modules} & "
        "{'serial', 'paho', 'rich', 'msgspec', 'influxdb_client', 'iotcore', 'cattrs'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("size", [1, 100], ids=["at once", "after a line"])
def test_a_reader_that_goes_away_ends_the_command_quietly(size: int) -> None:
    command = [sys.executable, "-m", "packtap", "decode", "--json"]
    capture = str(RECORDINGS / "m365_dash_app.log.gz")
    with subprocess.Popen(
        [*command, capture], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(size)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0


def test_a_reader_that_is_gone_before_anything_was_printed_is_no_trouble() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "packtap", "events"],
            stdout=writing, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("command", ["events", "registers"])
def test_closed_output_is_one_line_and_exits_2(command: str) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "packtap", command],
        stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        b"packtap: standard output is closed: there is nowhere to print to"
    ]


def test_a_service_needs_no_output(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent.toml")
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "packtap", "agent",
         "--config", absent],
        stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert absent.encode() in done.stderr  # it has got as far as its configuration


@pytest.mark.parametrize("command", ["events", "registers"])
def test_output_to_a_full_disk_is_one_line_and_exits_2(command: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "packtap", command],
            stdout=full, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines() == [b"packtap: the output cannot be written: the disk is full"]


# events


@pytest.mark.parametrize(
    ("options", "golden"),
    [([], "events.txt"), (["--markdown"], "events.md"), (["--json"], "events.jsonl")],
    ids=["text", "markdown", "json"],
)
def test_the_table_of_events_is_the_reviewed_one(
    options: list[str], golden: str, capsys: Printed
) -> None:
    assert main(["events", *options]) == 0
    assert capsys.readouterr().out == (GOLDEN / golden).read_text(encoding="utf-8")


def test_the_table_of_events_has_one_row_a_kind(capsys: Printed) -> None:
    main(["events", "--markdown"])
    printed = capsys.readouterr().out.splitlines()
    rows = [line for line in printed if line.startswith("| `")]
    (head,) = [line for line in printed if line.startswith("| kind |")]
    assert [row.split("`")[1] for row in rows] == [kind.name for kind in kinds.KINDS]
    assert {row.count("|") for row in rows} == {head.count("|")}  # no cell breaks the table


def test_no_action_tells_a_layman_to_open_a_pack() -> None:
    for kind in kinds.KINDS:
        assert not re.search(r"\b(open|unscrew|dismantle)\b", kind.action, re.IGNORECASE)


# replay


def replayed(capsys: Printed, *words: str) -> tuple[int, list[dict[str, Any]], str]:
    code = main(["replay", *words])
    printed = capsys.readouterr()
    return code, [json.loads(line) for line in printed.out.splitlines()], printed.err


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_scooter_replayed_is_fine(name: str, capsys: Printed) -> None:
    code, lines, _ = replayed(capsys, "--json", str(RECORDINGS / f"{name}.log.gz"))
    assert code == 0
    assert {line["severity"] for line in lines[:-1]} <= {"info"}
    assert max(lines[-1]["diagnosis"], key=lambda row: float(row["probability"]))["cause"] == "none"


def test_an_emulator_instead_of_a_bms_is_called_implausible_and_not_believed(
    capsys: Printed,
) -> None:
    code, lines, _ = replayed(capsys, "--json", str(RECORDINGS / "m365_commercial_emulator.log.gz"))
    assert code == 1
    assert [(line["kind"], line["severity"]) for line in lines[:-1]] == [
        ("implausible_data", "warning")
    ]
    assert "emulator-constants" in {doubt["name"] for doubt in lines[-1]["doubts"]}


def test_a_silent_bms_replayed_is_a_fault_and_the_board_the_first_suspect(capsys: Printed) -> None:
    code, lines, _ = replayed(capsys, "--json", str(RECORDINGS / "m365_esc_no_bms.log.gz"))
    assert code == 1
    assert [(line["kind"], line["severity"]) for line in lines[:-1]] == [
        ("bms_comm_lost", "critical")
    ]
    assert lines[-1]["diagnosis"][0]["cause"] == "bms_board"


@pytest.fixture(scope="module")
def ride(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recording of an emulated ride on which cell 7 fails."""
    from packtap.simulated.wires import Wires

    path = tmp_path_factory.mktemp("captures") / "ride.log"
    taken = reads(Wires(failing(10.0)), 80)
    path.write_text("".join(f"({t:.6f}) {line} {data.hex()}\n" for t, line, data in taken))
    return path


def test_json_of_a_replay_keeps_its_contract(ride: Path, capsys: Printed) -> None:
    code, lines, errors = replayed(capsys, "--json", str(ride))
    assert code == 1
    assert errors == ""
    *events, last = lines
    assert any(e["kind"] == "cell_undervoltage" and e["cell"] == 7 for e in events)
    for each in events:
        assert {"t", "kind", "cell", "severity", "state", "pack"} <= set(each)
        assert isinstance(each["t"], float)
        assert each["kind"] in kinds.by_name
        assert each["severity"] in set(Severity)
        assert each["state"] in ("raised", "cleared")
        assert each["cell"] is None or 1 <= each["cell"] <= 16
        assert each["pack"] == "3JDEA24M1D0815"
    assert [e["t"] for e in events] == sorted(e["t"] for e in events)
    raised = [e["id"] for e in events if e["state"] == "raised"]
    assert len(raised) == len(set(raised))
    assert last["pack"] == "3JDEA24M1D0815"
    assert {row["cause"] for row in last["diagnosis"]} == set(Cause)
    assert sum(row["probability"] for row in last["diagnosis"]) == pytest.approx(1, abs=1e-5)
    assert last["diagnosis"][0]["cause"] == "cell_damage"


def test_a_replay_for_people_says_what_was_seen_and_what_to_do(ride: Path, capsys: Printed) -> None:
    assert main(["replay", str(ride)]) == 1
    printed = capsys.readouterr().out
    assert "CRITICAL  cell_undervoltage: Cell 7 is at" in printed
    assert "Stop riding." in printed
    assert "cell_damage  (for: " in printed


def test_standard_input_is_replayed_like_a_file(ride: Path) -> None:
    by_name = packtap("replay", "--json", str(ride))
    by_pipe = packtap("replay", "--json", "-", stdin=ride.read_bytes())
    assert by_pipe.stdout == by_name.stdout
    assert (by_pipe.returncode, by_pipe.stderr) == (1, "")


def test_an_error_code_of_the_scooter_makes_a_fault_the_prior(capsys: Printed) -> None:
    capture = str(RECORDINGS / "m365_esc_bms.log.gz")
    _, plain, _ = replayed(capsys, "--json", capture)
    code, told, _ = replayed(capsys, "--json", "--esc-error", "21", capture)
    assert code == 0

    def none(lines: list[dict[str, Any]]) -> float:
        ranked = {row["cause"]: float(row["probability"]) for row in lines[-1]["diagnosis"]}
        return ranked["none"]

    assert plain[-1]["diagnosis"][0]["cause"] == "none"
    assert told[-1]["diagnosis"][0]["cause"] != "none"
    assert none(told) < none(plain) / 10


def test_a_recording_without_a_frame_answers_nothing(tmp_path: Path, capsys: Printed) -> None:
    quiet = tmp_path / "quiet.log"
    quiet.write_text("(1.000000) bms 00\n")
    code, lines, errors = replayed(capsys, "--json", str(quiet))
    assert code == 3
    assert lines[-1]["diagnosis"] == []  # nothing was judged, and nothing looks as if it had been
    assert errors.count("\n") == 1
    assert "no frame" in errors


# watch


def present_now(*, raised: bool = False, age_s: float = 0.0) -> dict[str, Any]:
    """Return what a running agent would have written so long ago."""
    now = boot_ms() / 1000 - age_s
    cells = snapshot(now - 1, voltage_v=38.0, current_a=0.0, cell_voltages_mv=HEALTHY)
    present = present_of([("3JDEA24M1D0815", cells)], [event(t=now - 60)] if raised else [])
    return {**document_of(present, now), "boot": boot_id()}


@pytest.fixture
def now_file(tmp_path: Path) -> Path:
    return tmp_path / "a.json"


@pytest.mark.parametrize(("raised", "code"), [(False, 0), (True, 1)], ids=["fine", "raised"])
def test_one_look_as_json_is_the_document(
    now_file: Path, raised: bool, code: int, capsys: Printed
) -> None:
    document = present_now(raised=raised)
    NowFile(now_file).replace(document)
    assert main(["watch", "--once", "--json", str(now_file)]) == code
    assert json.loads(capsys.readouterr().out) == document


@pytest.mark.parametrize(("raised", "code"), [(False, 0), (True, 1)], ids=["fine", "raised"])
def test_one_look_for_people_shows_pack_and_cells(
    now_file: Path, raised: bool, code: int, capsys: Printed
) -> None:
    NowFile(now_file).replace(present_now(raised=raised))
    assert main(["watch", "--once", str(now_file)]) == code
    printed = capsys.readouterr().out
    assert "3JDEA24M1D0815" in printed
    assert printed.count(" mV") >= 10
    assert ("CRITICAL" in printed) is raised


@pytest.mark.parametrize(
    ("severity", "code"), [(Severity.INFO, 0), (Severity.WARNING, 1), (Severity.CRITICAL, 1)]
)
@pytest.mark.parametrize("options", [["--once", "--json"], ["--once"], []], ids=str)
def test_what_is_only_information_is_no_fault(
    now_file: Path, severity: Severity, code: int, options: list[str], capsys: Printed
) -> None:
    now = present_now(raised=True)
    NowFile(now_file).replace({**now, "events": [{**now["events"][0], "severity": severity}]})
    assert main(["watch", *options, str(now_file)]) == code
    assert capsys.readouterr().out


def test_what_a_killed_agent_left_behind_is_not_shown_as_the_present(
    now_file: Path, capsys: Printed
) -> None:
    NowFile(now_file).replace(present_now(age_s=60))
    assert main(["watch", "--once", "--json", str(now_file)]) == 3
    printed = capsys.readouterr()
    assert "last wrote 60 s ago" in printed.err
    assert json.loads(printed.out)["pack"] == "3JDEA24M1D0815"


def test_what_another_boot_left_behind_is_not_shown_as_the_present(
    now_file: Path, capsys: Printed
) -> None:
    NowFile(now_file).replace({**present_now(), "boot": "another"})
    assert main(["watch", "--once", "--json", str(now_file)]) == 3
    assert "before this machine was started" in capsys.readouterr().err


def test_nobody_to_watch_is_said_with_what_to_do(now_file: Path, capsys: Printed) -> None:
    assert main(["watch", "--once", str(now_file)]) == 3
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert str(now_file) in errors
    assert "packtap agent --config" in errors


def test_a_file_that_is_no_now_file_exits_2(now_file: Path, capsys: Printed) -> None:
    now_file.write_text("{}")
    assert main(["watch", "--once", str(now_file)]) == 2
    assert "not written by a packtap agent" in capsys.readouterr().err


def test_the_stream_gives_one_object_a_change_and_ends_with_the_agent(now_file: Path) -> None:
    file = NowFile(now_file)
    file.replace(present_now())
    with subprocess.Popen(
        [sys.executable, "-m", "packtap", "watch", "--json", str(now_file)],
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        file.replace(present_now(raised=True))
        second = json.loads(process.stdout.readline())
        file.remove()
        assert process.stdout.read() == ""
        assert process.wait(30) == 1
    assert second["boot_s"] > first["boot_s"]
    assert [e["kind"] for e in second["events"]] == ["cell_undervoltage"]


# simulate


@pytest.mark.parametrize(
    ("options", "names"), [([], {"esc", "bms"}), (["--bench"], {"bms"})], ids=["ride", "bench"]
)
def test_simulated_ports_open_and_speak(options: list[str], names: set[str]) -> None:
    import serial

    from ninebot_bms import Dialect, Frame, Framer, read_request

    command = [sys.executable, "-m", "packtap", "simulate", "--json", "--seconds", "20", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ports = json.loads(process.stdout.readline())
            assert set(ports) == names
            framer = Framer()
            found: list[object] = []
            with serial.Serial(ports["bms"], 115200, timeout=0.05, exclusive=True) as port:

                def answered() -> bool:
                    if options:
                        port.write(read_request(Dialect.XIAOMI, 0x30, 12))
                    found.extend(framer.receive_data(port.read(256)))
                    return any(isinstance(f, Frame) and f.is_read_reply for f in found)

                wait_until(answered)
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_a_simulation_ends_by_itself_when_told_to() -> None:
    done = packtap("simulate", "--json", "--seconds", "0.3")
    assert done.returncode == 0
    assert set(json.loads(done.stdout)) == {"esc", "bms"}


def test_a_recording_is_played_into_ports() -> None:
    capture = str(RECORDINGS / "m365_esc_bms.log.gz")
    done = packtap("simulate", "--json", "--seconds", "0.3", "--play", capture)
    assert done.returncode == 0
    assert set(json.loads(done.stdout)) == {"esc", "bms"}


def test_a_recording_is_played_without_holding_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    recording = tmp_path / "long.log"
    chunk = "(1.{:06}) {} 55aa0320013010 9bff\n".replace(" 9bff", "9bff")
    with recording.open("w") as file:
        file.writelines(chunk.format(n, "esc" if n else "dash") for n in range(60_000))
    read: list[int] = []

    def play(chunks: CaptureReader, lines: dict[str, object], stop: object) -> int:
        next(iter(chunks))
        read.append(chunks.bytes_read)
        assert set(lines) == {"dash", "esc"}
        return 0

    monkeypatch.setattr("packtap.emulated_bus.play", play)
    assert main(["simulate", "--json", "--play", str(recording)]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"dash", "esc"}
    assert 0 < read[0] < recording.stat().st_size / 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--play", "-"], "name a file"),
        (["--cells", "17"], "1-16 cells"),
        (["--fault", "dead_cell:11"], "no cell 11"),
        (["--fault", "bad_luck"], "lists them"),
        (["--fault", "timestamp_anomaly"], "add --out"),
        (["--out", "/no/such/folder/x.log"], "cannot be written"),
        (["--soc", "140"], "0-100 %"),
        (["--play", "absent.log"], "no such file"),
    ],
)
def test_a_simulation_that_cannot_be_is_one_line_and_exits_2(
    options: list[str], said: str, capsys: Printed
) -> None:
    assert main(["simulate", "--seconds", "0.1", *options]) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert errors.count("\n") == 1


def test_a_simulated_capture_says_so_and_is_replayed(tmp_path: Path, capsys: Printed) -> None:
    capture = tmp_path / "dead.log.gz"
    options = ["--fault", "dead_cell:3:0.8", "--seconds", "100", "--out", str(capture)]
    assert main(["simulate", "--json", *options]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["simulated"] is True
    assert told["onsets_s"] == [60.0]
    with gzip.open(capture, "rt") as file:
        first, *lines = file.readlines()
    assert first.startswith("# simulated by packtap")
    assert len(lines) == told["chunks"] > 100
    code, events, errors = replayed(capsys, "--json", str(capture))
    assert (code, errors) == (1, "")
    assert ("dead_cell", 3) in {(event.get("kind"), event.get("cell")) for event in events}


def test_the_same_seed_writes_the_same_capture(tmp_path: Path) -> None:
    texts = []
    for name in ("one.log", "two.log"):
        words = ["simulate", "--seed", "5", "--seconds", "20", "--out", str(tmp_path / name)]
        assert main(words) == 0
        texts.append((tmp_path / name).read_text())
    assert texts[0] == texts[1]


def test_the_faults_are_listed_from_their_rows(capsys: Printed) -> None:
    assert main(["simulate", "--fault", "help"]) == 0
    printed = capsys.readouterr().out
    for row in FAULTS.values():
        assert row.name in printed
        assert row.what in printed
    assert main(["simulate", "--fault", "help", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["name"] for row in rows] == list(FAULTS)


# demo: the whole chain.


def test_a_demo_in_which_nothing_was_raised_says_why() -> None:
    from packtap.cli.demo import nothing_raised

    assert "shorter than the time to the fault" in nothing_raised(rode_s=10, onset_s=60)
    assert nothing_raised(rode_s=10, onset_s=3) == ("nothing yet: the fault has not passed a limit")


def family(marker: str) -> list[int]:
    """Return the processes whose command line holds the marker."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if marker.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def lines_of(process: subprocess.Popen[str], seconds: float = 90) -> Iterator[dict[str, Any]]:
    """Yield the objects that a process prints; fail if it takes too long over one."""
    assert process.stdout is not None
    while True:
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        assert ready, "nothing was printed"
        line = process.stdout.readline()
        if not line:
            return
        yield json.loads(line)


def test_the_demo_finds_the_failing_cell_loses_nothing_and_leaves_nobody_behind(
    tmp_path: Path,
) -> None:
    done = packtap(
        *("demo", "--seconds", "45", "--onset", "3", "--seed", "424201", "--json"),
        *("--keep", str(tmp_path / "kept")),
    )
    assert done.returncode == 0, done.stderr
    *seen, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(line["simulated"] for line in (*seen, last))
    raised = {(e["kind"], e["cell"]) for line in seen for e in line["events"]}
    assert ("cell_undervoltage", 7) in raised
    assert {cell for _, cell in raised} <= {7, None}
    summary = last["summary"]
    assert summary["lost"] == 0
    assert summary["readings_stored"] == summary["readings_taken"] > 100
    assert "cell_undervoltage" in summary["kinds"]
    assert "Traceback" not in done.stderr
    assert family(str(tmp_path)) == []
    assert family("424201") == []
    for log in (tmp_path / "kept").glob("*.log"):
        assert "Traceback" not in log.read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_the_demo_is_ended_cleanly_by_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    seed = f"42421{number.value}"
    command = [sys.executable, "-m", "packtap", "demo", "--json", "--seed", seed]
    with subprocess.Popen(
        [*command, "--keep", str(tmp_path / "kept")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        lines = lines_of(process)
        while next(lines)["stored"] < 10:
            pass
        process.send_signal(number)
        *_, last = lines
        errors = process.stderr.read() if process.stderr else ""
        assert process.wait(60) == 0
    assert last["summary"]["lost"] == 0
    assert "Traceback" not in errors
    assert family(seed) == []
    deadline = time.monotonic() + 5
    while family(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert family(str(tmp_path)) == []


def test_nobody_is_told_to_charge_beside_something_critical() -> None:
    for kind in KINDS:
        if "charge fully" in kind.action.lower():
            assert kind.action.startswith("Unless something critical is raised: "), kind.name
