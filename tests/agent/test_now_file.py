"""The now-file: whole or absent, whoever reads and whenever."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from ordinary_user import ordinary_user
from packtap.errors import PacktapError
from packtap.now_file import NowFile, read_now
from presents import document_of, event, present_of
from stories import HEALTHY, snapshot

SEEN = snapshot(98.0, status=1, voltage_v=38.0, balancing_cells=(3,), cell_voltages_mv=HEALTHY)
#: What an agent writes before it has seen a pack, and what it writes afterwards.
DOCUMENT = document_of(present_of(lines=()))
FULL = document_of(present_of([("P1", SEEN)], [event(), event("bus_noise", cell=None, t=None)]))
SHOWN = DOCUMENT.keys() - {*("site", "agent", "bus", "t", "cell_count", "bus_trouble", "sharing")}


@pytest.mark.parametrize("document", [DOCUMENT, FULL], ids=["before a pack", "with a pack"])
def test_what_is_written_is_read(tmp_path: Path, document: dict[str, Any]) -> None:
    path = tmp_path / "run" / "a.json"
    newer = {**document, "of_tomorrow": "°C"}
    NowFile(path).replace(newer)
    assert read_now(path) == newer


def test_nothing_is_seen_before_and_after(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    file = NowFile(path)
    assert read_now(path) is None
    file.replace(DOCUMENT)
    assert read_now(path) is not None
    file.remove()
    assert read_now(path) is None
    file.remove()  # twice is fine
    assert list(tmp_path.iterdir()) == []


def test_a_reader_never_sees_half_a_document(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    file = NowFile(path)
    file.replace({"n": 0, "filler": "", **DOCUMENT, "end": 0})
    done = threading.Event()
    seen: set[int] = set()

    def read() -> None:
        while not done.is_set():
            document = read_now(path)
            assert document is not None
            assert document["n"] == document["end"]
            seen.add(int(str(document["n"])))

    reader = threading.Thread(target=read)
    reader.start()
    written = 0
    while len(seen) < 20:
        written += 1
        file.replace({"n": written, "filler": "x" * 20_000, **DOCUMENT, "end": written})
        assert reader.is_alive()
    done.set()
    reader.join()
    assert max(seen) <= written


def test_a_number_that_json_does_not_know_leaves_the_old_document(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    file = NowFile(path)
    file.replace(DOCUMENT)
    with pytest.raises(ValueError, match="JSON"):
        file.replace({**DOCUMENT, "n": float("nan")})
    assert read_now(path) == DOCUMENT


@pytest.mark.parametrize(
    "content", [b"", b"{", b"{}", b"[]", b"7", b"\xff\xfe", b"not json"],
    ids=["empty", "half", "an empty object", "a list", "a number", "not utf-8", "text"],
)  # fmt: skip
def test_a_file_of_somebody_else_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(PacktapError, match="not written by a packtap agent") as caught:
        read_now(path)
    assert "\n" not in str(caught.value)


def test_a_retained_message_that_was_saved_is_no_now_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for _, payload in present_of([("P1", SEEN)], [event()]).retained(100.0, None):
        path.write_bytes(payload)
        with pytest.raises(PacktapError, match="not written by a packtap agent"):
            read_now(path)


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_a_document_without_what_is_shown_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({key: value for key, value in FULL.items() if key != name}))
    with pytest.raises(PacktapError, match="not written by a packtap agent"):
        read_now(path)


@pytest.mark.parametrize(
    "change",
    [
        {"boot_s": "x"},
        {"boot_s": None},
        {"values": []},
        {"values": {"voltage_v": "38"}},
        {"values": {"cell_voltages_mv": ["3600"]}},
        {"values": {"balancing_cells": [{}]}},
        {"values": {"soc_pct": {}}},
        {"ages_s": {"soc_pct": "old"}},
        {"flags": "none"},
        {"flags": [1]},
        {"events": [{}]},
        {"events": [{**FULL["events"][0], "severity": "dire"}]},
        {"lines": [{"name": "bms"}]},
        {"counters": {**FULL["counters"], "rejects_checksum": "7"}},
        {"uplink": None},
    ],
    ids=str,
)
def test_a_document_with_something_else_in_its_place_is_refused(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**FULL, **change}))
    with pytest.raises(PacktapError, match="not written by a packtap agent"):
        read_now(path)


def test_a_document_of_another_version_is_not_guessed_at(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    NowFile(path).replace({"v": 2, "version": "9.9.9"})
    with pytest.raises(PacktapError, match=r"packtap 9\.9\.9"):
        read_now(path)


def test_a_file_that_may_not_be_read_is_said_to_be_that(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({}))
    path.chmod(0)
    tmp_path.chmod(0o755)
    with ordinary_user(), pytest.raises(PacktapError, match="cannot be read"):
        read_now(path)


def test_a_folder_is_no_now_file(tmp_path: Path) -> None:
    with pytest.raises(PacktapError, match="cannot be read: Is a directory"):
        read_now(tmp_path)
