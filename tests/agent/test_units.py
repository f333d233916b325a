"""The units under systemd/: what systemd says of them, and that the code is what they say."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = ("packtap-agent@.service", "packtap-ingest.service", "packtap-ingest@.service",
         "packtap-web.service")  # fmt: skip
COMMON = (ROOT / "systemd/packtap-.service.d/service.conf").read_text()
README = (ROOT / "systemd/README.md").read_text()
SECRET = re.compile(r"^LoadCredential=([\w.-]+):([\w.%-]+)$", re.MULTILINE)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A copy of the units that runs the packtap of this environment: /opt/packtap is not here."""
    folder = tmp_path / "units"
    shutil.copytree(ROOT / "systemd", folder)
    for name in UNITS:
        text = (folder / name).read_text()
        assert text.count("/opt/packtap/bin/packtap ") == 1
        here = Path(sys.executable).with_name("packtap")
        (folder / name).write_text(text.replace("/opt/packtap/bin/packtap", str(here)))
    return folder


def analyze(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_units_tested_are_all_that_there_are() -> None:
    assert sorted(path.name for path in (ROOT / "systemd").glob("*.service")) == sorted(UNITS)


def test_systemd_has_nothing_to_say_about_the_units(units: Path) -> None:
    done = analyze(units, "verify", "--man=no", *(f"./{name}" for name in UNITS))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_complains_about_a_unit_with_a_mistake(units: Path) -> None:
    """The test above sees something: units and what they have in common are really read."""
    common = units / "packtap-.service.d/service.conf"
    common.write_text(COMMON.replace("WatchdogSec=60", "WatchdogSec=soon"))
    done = analyze(units, "verify", "--man=no", f"./{UNITS[0]}")
    assert "soon" in done.stderr


@pytest.mark.parametrize("name", UNITS)
def test_exposure_is_at_most_1_5(name: str, units: Path) -> None:
    done = analyze(units, "security", "--offline=true", "--threshold=15", f"./{name}")
    assert done.returncode == 0, done.stdout[-200:]


def test_readme_says_what_the_clock_of_the_kernel_costs(units: Path) -> None:
    folder = units / f"{UNITS[0]}.d"
    folder.mkdir()
    shutil.copy(units / "clock-of-the-kernel.conf", folder)
    done = analyze(units, "security", "--offline=true", f"./{UNITS[0]}")
    (figure,) = re.findall(r"exposure level for .*: (\S+)", done.stdout)
    assert f"`clock-of-the-kernel.conf` the agent's is {figure}" in " ".join(README.split())


@pytest.mark.parametrize("line", [
    "Type=notify",
    "Restart=always",
    "StartLimitIntervalSec=0",
    "RuntimeDirectoryPreserve=yes",
    "User=packtap",
])  # fmt: skip
def test_what_the_code_relies_on_stands_in_every_unit(line: str) -> None:
    assert line in COMMON.splitlines()


def test_every_secret_of_the_units_is_in_the_table_of_the_readme() -> None:
    for name in UNITS:
        found = SECRET.findall((ROOT / "systemd" / name).read_text())
        assert found
        for known_as, file in found:
            assert f"`{known_as}`" in README
            assert f"`{file.replace('-%i', '')}`" in README
    # A path would be needed; a bare name in the credential store may be absent.
    assert not re.findall(r"^LoadCredential=.*/", "".join(
        (ROOT / "systemd" / name).read_text() for name in UNITS), re.MULTILINE)  # fmt: skip


@pytest.mark.parametrize("name", UNITS)
def test_configuration_that_a_unit_names_is_where_its_command_looks(name: str) -> None:
    (words,) = re.findall(r"^ExecStart=/opt/packtap/bin/packtap (.*)$",
                          (ROOT / "systemd" / name).read_text(), re.MULTILINE)  # fmt: skip
    words = words.replace("%i", "no-such-bus")
    done = subprocess.run(
        [sys.executable, "-m", "packtap", *words.split()],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    command = words.split()[0]
    file = f"/etc/packtap/{command}{'-no-such-bus' if 'no-such-bus' in words else ''}.toml"
    assert done.returncode == 2
    assert file in done.stderr
    comment = (ROOT / "systemd" / name).read_text().partition("[Unit]")[0]
    named = file.replace("no-such-bus", "2" if command == "ingest" else "bay-1")
    assert named in comment
