"""A technician's laptop may run Windows or macOS: commands run without POSIX-only modules.

The modules are blocked before anything is imported, in a process of its own.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from packtap.cli import COMMANDS
from packtap.now_file import NowFile
from presents import document_of, present_of
from recorded import VECTORS

#: What Python has on POSIX systems only; `_posixsubprocess` and `posix` carry the interpreter.
POSIX_ONLY = (
    "crypt",
    "fcntl",
    "grp",
    "nis",
    "ossaudiodev",
    "pty",
    "pwd",
    "resource",
    "spwd",
    "syslog",
    "termios",
    "tty",
)
#: Commands of a technician.
TECHNICIANS = ("doctor", "diagnose", "watch", "record", "capture", "decode", "replay")
HERE = tuple(name for name in TECHNICIANS if name in COMMANDS)
CAPTURE = str(VECTORS / "recordings" / "m365_esc_bms.log.gz")

_BLOCKED = """
import importlib.abc, os, sys

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

blocked = set(sys.argv.pop(1).split(","))
for name in blocked:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Blocker())
"""
_RUN = """
from packtap.cli import main
sys.exit(main(sys.argv[1:]))
"""
#: On such a system pyserial takes another back end; here stands one that finds no port.
_OTHER_SYSTEM = """
import importlib.util

class BackEnd(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name in ("serial.serialposix", "serial.tools.list_ports_posix",
                    "serial.tools.list_ports_linux"):
            return importlib.util.spec_from_loader(name, self)
        return None

    def exec_module(self, module):
        from serial.serialutil import SerialBase, SerialException

        class Serial(SerialBase):
            def open(self):
                raise SerialException(
                    f"could not open port {self.portstr!r}: FileNotFoundError(2, '', None, 2)"
                )

            def _reconfigure_port(self):
                pass

        module.Serial = module.PosixPollSerial = module.VTIMESerial = Serial
        module.comports = lambda include_links=False: []

sys.meta_path.insert(0, BackEnd())
"""


def blocked(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program in which the modules cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", program, ",".join(POSIX_ONLY), *words],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def laptop(*words: str) -> subprocess.CompletedProcess[str]:
    """Run packtap as on a system without POSIX."""
    return blocked(_BLOCKED + _OTHER_SYSTEM + _RUN, *words)


def test_the_block_blocks() -> None:
    for module in ("termios", "fcntl", "tty", "pty", "pwd", "grp", "resource"):
        done = blocked(_BLOCKED + f"import {module}")
        assert done.returncode == 1
        assert f"No module named '{module}'" in done.stderr


def test_the_technicians_commands_are_here() -> None:
    assert set(HERE) == set(TECHNICIANS)


def test_the_help_is_there() -> None:
    done = laptop("--help")
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", HERE)
def test_a_technicians_command_explains_itself(command: str) -> None:
    done = laptop(command, "--help")
    assert done.returncode == 0, done.stderr
    assert f"packtap {command}" in done.stdout


@pytest.mark.parametrize("command", ["decode", "replay", "diagnose"])
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_a_command_that_reads_captures_reads_one(command: str, form: tuple[str, ...]) -> None:
    here = subprocess.run(
        [sys.executable, "-m", "packtap", command, *form, CAPTURE],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    done = laptop(command, *form, CAPTURE)
    assert done.stderr == here.stderr
    assert (done.returncode, done.stdout) == (here.returncode, here.stdout)
    assert done.stdout


def test_a_diagnosis_has_its_report_and_its_own_limits(tmp_path: Path) -> None:
    limits, report = tmp_path / "limits.toml", tmp_path / "report.html"
    limits.write_text("[pack]\ncell_undervoltage_mv = 2900\n")
    done = laptop("diagnose", CAPTURE, "--config", str(limits), "--report", str(report))
    assert done.returncode in (0, 1), done.stderr
    assert "<title>Battery diagnosis" in report.read_text(encoding="utf-8")


def test_a_recording_says_that_its_port_is_not_there(tmp_path: Path) -> None:
    done = laptop("record", "COM77", str(tmp_path / "ride.log.gz"), "--seconds", "1")
    assert done.returncode in (2, 3), done.stderr
    assert "COM77" in done.stderr
    assert "Traceback" not in done.stderr


def test_watch_shows_what_an_agent_wrote(tmp_path: Path) -> None:
    NowFile(tmp_path / "now.json").replace(document_of(present_of([], []), 1.0))
    done = laptop("watch", "--once", "--json", str(tmp_path / "now.json"))
    assert json.loads(done.stdout)["version"]
    assert "Traceback" not in done.stderr


def test_the_doctor_says_that_a_port_is_not_there() -> None:
    done = laptop("doctor", "--json", "COM77")
    assert done.returncode == 1, done.stderr
    verdict = json.loads(done.stdout.splitlines()[-1])
    assert verdict["verdict"] == "port_absent"


def test_the_doctor_says_that_no_port_is_there() -> None:
    done = laptop("doctor", "--json")
    assert done.returncode == 1, done.stderr
    verdict = json.loads(done.stdout.splitlines()[-1])
    assert verdict["verdict"] == "no_port"


def test_the_doctor_tries_a_broker_without_them(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(
        'site = "depot"\nagent = "pi-01"\nbus = "bay-1"\nclock = "trusted"\n'
        f'now_file = "{tmp_path}/now.json"\n[lines.bms]\nport = "COM77"\n'
        f'[store]\npath = "{tmp_path}/packtap.db"\n[mqtt]\nhost = "127.0.0.1"\nport = 9\n'
    )
    done = laptop("doctor", "--json", "--config", str(config))
    checks = {line["name"]: line for line in map(json.loads, done.stdout.splitlines()[:-1])}
    assert checks["broker reachable"]["outcome"] == "fail"
    assert checks["clock"]["outcome"] == "pass"
