"""What the documents say is so: files exist, examples run, commands are there."""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from packtap.cli import COMMANDS
from packtap.doctor.verdict_rows import LISTEN_ROWS

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "deploy/INSTALL.md",
    "deploy/WIRING.md",
    "deploy/grafana/README.md",
    "systemd/README.md",
)
README = (ROOT / "README.md").read_text()
_PATH = re.compile(r"`((?:protocol|agent|tests|deploy|systemd|\.ci)/[\w./-]+)`")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_in_a_document_exists(name: str) -> None:
    text = (ROOT / name).read_text()
    assert [path for path in _PATH.findall(text) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_that_a_document_links_or_shows_exists(name: str) -> None:
    text = (ROOT / name).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in links if not ((ROOT / name).parent / link).exists()] == []


def test_the_drawing_of_the_wires_is_whole_and_described() -> None:
    drawing = ElementTree.parse(ROOT / "deploy/wiring.svg").getroot()
    words = " ".join(drawing.itertext())
    for name in ("RX 1", "RX 2", "GND", "TX stays open", "P+", "never 5 V", "isolator", "kOhm"):
        assert name in words
    assert not [each for each in drawing.iter() if each.tag.endswith(("script", "image", "use"))]
    title = drawing.find("{http://www.w3.org/2000/svg}title")
    assert title is not None
    assert title.text


def test_the_readme_shows_the_doctor_as_it_speaks() -> None:
    (shown,) = re.findall(r"\$ packtap doctor [^\n]*\n(.*?)```", README, re.DOTALL)
    row = next(row for row in LISTEN_ROWS if row.name == "esc_knocks")
    words = " ".join(shown.split())
    assert words.startswith(row.title)
    assert row.means in words
    assert row.next[0] in words


def test_architecture_lists_every_module_of_both_packages() -> None:
    layout = (ROOT / "ARCHITECTURE.md").read_text().partition("```\n")[2].partition("```")[0]
    named = set(re.findall(r"\w+", layout))
    for package in (ROOT / "protocol/ninebot_bms", ROOT / "agent/packtap"):
        modules = {
            path.stem
            for path in package.iterdir()
            if (path.suffix == ".py" or (path / "__init__.py").exists())
            and path.stem not in ("__init__", "__main__")
        }
        assert modules - named == set()


def test_the_library_example_of_the_readme_prints_what_it_says() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (promised,) = re.findall(r"# (\S+)\n", example)
    done = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == [promised]


def test_the_transcript_of_the_readme_is_what_the_command_prints() -> None:
    (transcript,) = re.findall(r"\$ packtap (decode .*?)```", README, re.DOTALL)
    command, *lines = transcript.splitlines()
    done = subprocess.run(
        [sys.executable, "-m", "packtap", *command.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    printed = done.stdout.splitlines()
    shown = [line for line in lines if line.strip() != "..."]
    start = printed.index(shown[0])
    assert printed[start : start + len(shown)] == shown


def test_the_readme_names_every_command_and_no_other() -> None:
    rows = re.findall(r"^\| (`packtap .*?) \|", README, re.MULTILINE)
    named = {word for row in rows for word in re.findall(r"`(?:packtap )?(\w+)`", row)}
    assert named == set(COMMANDS)
