"""deploy/install.sh and deploy/hotspot.sh: form, refusals, and what touches files alone.

The whole of install.sh, in a booted system, is `make install-boot`; nmcli is never run by a test.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALL = ROOT / "deploy/install.sh"
HOTSPOT = ROOT / "deploy/hotspot.sh"
CONFIG = "dtparam=audio=on\n\n[pi4]\narm_boost=1\n\n[all]\n"
CMDLINE = "console=serial0,115200 console=tty1 root=PARTUUID=0 rootwait\n"


def run(script: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [script, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    """The boot folder of a Pi 4, and what its kernel calls itself."""
    (tmp_path / "boot/firmware").mkdir(parents=True)
    (tmp_path / "boot/firmware/config.txt").write_text(CONFIG)
    (tmp_path / "boot/firmware/cmdline.txt").write_text(CMDLINE)
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"Raspberry Pi 4 Model B Rev 1.5\0")
    return tmp_path


@pytest.fixture
def built(pi: Path) -> Path:
    """The same, with a version that is built already: this environment's."""
    said = run(INSTALL, "--dry-run", "--root", str(pi)).stdout
    (found,) = re.findall(r"would run: python3 -m venv (\S+)", said)
    version = Path(found)
    version.mkdir(parents=True)
    (version / "bin").symlink_to(Path(sys.executable).parent)
    shutil.copytree(ROOT / "systemd", version / "systemd")
    (version / "complete").touch()
    return pi


def test_shellcheck_finds_nothing_in_the_scripts() -> None:
    done = subprocess.run(
        ["shellcheck", INSTALL, HOTSPOT], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("script", [INSTALL, HOTSPOT], ids=lambda path: path.name)
def test_help_names_every_option_that_the_script_takes(script: Path) -> None:
    done = run(script, "--help")
    assert done.returncode == 0
    rows = re.findall(r"^ +((?:--?[\w-]+\|?)+)\)", script.read_text(), re.MULTILINE)
    taken = {option for row in rows for option in re.findall(r"--[\w-]+", row)}
    assert {"--help", "--dry-run"} < taken
    assert [option for option in taken if option not in done.stdout] == []


def test_a_dry_run_says_the_steps_and_writes_nothing(pi: Path) -> None:
    before = contents(pi)
    words = ("--site", "depot", "--bus", "bay-1", "--port", "/dev/ttyUSB0", "--uart", "yes")
    done = run(INSTALL, "install", "--dry-run", "--root", str(pi), *words)
    assert done.returncode == 0, done.stderr
    assert contents(pi) == before
    assert "would run: python3 -m venv" in done.stdout
    assert f"would write {pi}/etc/packtap/agent-bay-1.toml" in done.stdout
    assert "Raspberry Pi 4" in done.stdout
    assert done.stdout.endswith("Nothing was changed: this was --dry-run.\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["instal"], "instal: unknown"),
        (["install", "rollback"], "one action at a time"),
        (["--site"], "--site needs a value"),
        (["--site", "The Depot"], "lower-case letters"),
        (["--port", "/dev/x|e id"], "letters, digits and"),
        (["--mode", "write"], "must be one of: listen bench share"),
        (["--uart", "maybe"], "must be one of: yes no"),
        (["--enrol", "nowhere.packtap.toml"], "cannot be read"),
        (["install", "--purge"], "--purge goes with uninstall"),
        (["--root", "/nowhere"], "there is no such folder"),
        (["--dry-run", "--source", "/nowhere"], "neither a wheel nor a folder"),
        (["--dry-run", "--wheels", "/nowhere"], "there is no such folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_begin_is_refused_in_words(words: list[str], said: str) -> None:
    done = run(INSTALL, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_nothing_to_upgrade_or_to_roll_back_to_is_said(tmp_path: Path) -> None:
    done = run(INSTALL, "upgrade", "--root", str(tmp_path))
    assert (done.returncode, "is not installed here" in done.stderr) == (2, True)
    done = run(INSTALL, "rollback", "--root", str(tmp_path))
    assert (done.returncode, "no version before" in done.stderr) == (1, True)


def test_a_packtap_that_was_installed_by_hand_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "opt/packtap").mkdir(parents=True)
    (tmp_path / "opt/packtap/pyvenv.cfg").touch()
    done = run(INSTALL, "install", "--root", str(tmp_path))
    assert (done.returncode, "installed by hand" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("model", "lines"),
    [
        ("Raspberry Pi 4 Model B Rev 1.5", "dtoverlay=disable-bt\nenable_uart=1\n"),
        ("Raspberry Pi Zero 2 W Rev 1.0", "dtoverlay=disable-bt\nenable_uart=1\n"),
        ("Raspberry Pi 5 Model B Rev 1.0", "dtoverlay=uart0-pi5\n"),
    ],
)
def test_the_uart_is_given_once_and_taken_back_without_a_trace(
    pi: Path, model: str, lines: str
) -> None:
    (pi / "proc/device-tree/model").write_bytes(model.encode() + b"\0")
    before = contents(pi)
    for _ in range(2):
        done = run(INSTALL, "uart", "--uart", "yes", "--root", str(pi))
        assert done.returncode == 0, done.stderr
        config = (pi / "boot/firmware/config.txt").read_text()
        assert config.startswith(CONFIG)
        assert config.count(f"[all]\n{lines}# packtap: end\n") == 1
    assert "serial0" not in (pi / "boot/firmware/cmdline.txt").read_text()
    done = run(INSTALL, "uninstall", "--root", str(pi))
    assert done.returncode == 0, done.stderr
    assert contents(pi) == before


def test_the_uart_is_left_alone_unless_somebody_says_yes(pi: Path) -> None:
    before = contents(pi)
    assert run(INSTALL, "uart", "--root", str(pi)).returncode == 0
    assert run(INSTALL, "uart", "--uart", "no", "--root", str(pi)).returncode == 0
    assert contents(pi) == before


def test_what_the_pi_installs_is_what_the_tests_run_with() -> None:
    def lines(path: str) -> set[str]:
        return {line.strip(" \\") for line in (ROOT / path).read_text().splitlines()}

    assert lines("deploy/requirements.lock") < lines("requirements.lock")


def test_the_hotspot_wants_a_token_first(tmp_path: Path) -> None:
    web, token = tmp_path / "web.toml", tmp_path / "token"
    places = {"PACKTAP_WEB_CONFIG": str(web), "PACKTAP_WEB_TOKEN": str(token)}
    web.write_text('bind = "0.0.0.0"\n#token_file = "web-token"\n')
    token.write_text("0123456789abcdef\n")
    done = run(HOTSPOT, "up", "--dry-run", **places)
    assert (done.returncode, "the page has no token" in done.stderr) == (2, True)
    web.write_text('bind = "0.0.0.0"\ntoken_file = "web-token"\n')
    done = run(HOTSPOT, "up", "--dry-run", "--ssid", "bay", **places)
    assert done.returncode == 0
    assert "would run: nmcli connection add type wifi" in done.stdout
    assert " ssid bay " in done.stdout


@pytest.mark.parametrize("action", ["down", "status"])
def test_a_dry_run_of_the_hotspot_says_its_commands(action: str) -> None:
    done = run(HOTSPOT, action, "--dry-run")
    assert (done.returncode, done.stdout.startswith("would run: nmcli ")) == (0, True)


def test_a_name_of_a_wifi_that_could_be_an_option_is_refused() -> None:
    assert run(HOTSPOT, "up", "--dry-run", "--ssid", "--x").returncode == 2


@pytest.mark.parametrize(("mode", "line"), [("listen", "bms"), ("bench", "bms"), ("share", "dash")])
def test_the_answers_stand_in_the_configuration_which_is_never_written_again(
    built: Path, mode: str, line: str
) -> None:
    words = ["--root", str(built), "--site", "depot", "--agent", "pi-07", "--bus", "bay-2"]
    words += ["--port", "/dev/serial0", "--mode", mode, "--broker", "10.0.0.7"]
    done = run(INSTALL, "install", *words)
    assert done.returncode == 0, done.stderr
    file = built / "etc/packtap/agent-bay-2.toml"
    config = tomllib.loads(file.read_text())
    assert [config[key] for key in ("site", "agent", "bus", "mode")] == [
        "depot", "pi-07", "bay-2", mode,
    ]  # fmt: skip
    assert config["lines"] == {line: {"port": "/dev/serial0"}}
    assert config["mqtt"] == {"host": "10.0.0.7"}
    before = contents(built)
    again = run(INSTALL, "install", *words[:-1], "10.0.0.8")
    assert (again.returncode, "left as it is" in again.stdout) == (0, True)
    assert contents(built) == before


def test_a_configuration_that_the_agent_would_refuse_is_not_left_there(built: Path) -> None:
    words = ["--site", "depot", "--bus", "bay-1", "--port", "no/port", "--broker", "10.0.0.7"]
    done = run(INSTALL, "install", "--root", str(built), *words)
    assert (done.returncode, "nothing was written" in done.stderr) == (1, True)
    assert list((built / "etc/packtap").glob("agent*")) == []


def test_a_version_that_does_not_understand_a_configuration_does_not_come_in(built: Path) -> None:
    (built / "etc/packtap").mkdir(parents=True)
    (built / "etc/packtap/agent-bay-1.toml").write_text("site = 7\n")
    done = run(INSTALL, "install", "--root", str(built))
    assert (done.returncode, "does not pass" in done.stderr) == (1, True)
    assert not (built / "opt/packtap/current").is_symlink()


def test_uninstall_keeps_what_is_the_operators_and_purge_keeps_nothing(
    built: Path,
) -> None:
    before = {name for name in contents(built) if "/opt/packtap/" not in name}
    run(INSTALL, "install", "--root", str(built), "--site", "depot", "--bus", "bay-1", "--port",
        "/dev/serial0", "--uart", "yes")  # fmt: skip
    kept = {str(built / name) for name in (
        "etc/packtap/agent-bay-1.toml", "etc/packtap/web.toml", "var/lib/packtap/bay-1/packtap.db",
        "etc/credstore/packtap.device.key")}  # fmt: skip
    for name in kept:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    assert (built / "opt/packtap/bin/packtap").exists()
    assert run(INSTALL, "uninstall", "--root", str(built)).returncode == 0
    assert set(contents(built)) == before | kept
    assert run(INSTALL, "uninstall", "--purge", "--root", str(built)).returncode == 0
    assert set(contents(built)) == before
