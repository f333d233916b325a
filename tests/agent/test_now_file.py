"""The now-file: whole or absent, whoever reads and whenever."""

import json
import threading
from pathlib import Path

import pytest

from ordinary_user import ordinary_user
from packtap.errors import PacktapError
from packtap.now_file import NowFile, read_now


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run" / "a.json"
    NowFile(path).replace({"v": 1, "pack": None, "values": {"soc_pct": 70}, "text": "°C"})
    assert read_now(path) == {"v": 1, "pack": None, "values": {"soc_pct": 70}, "text": "°C"}


def test_nothing_is_seen_before_and_after(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    file = NowFile(path)
    assert read_now(path) is None
    file.replace({"v": 1})
    file.remove()
    assert read_now(path) is None
    file.remove()  # twice is fine
    assert list(tmp_path.iterdir()) == []


def test_a_reader_never_sees_half_a_document(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    file = NowFile(path)
    file.replace({"v": 1, "n": 0, "filler": "", "end": 0})
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
        file.replace({"v": 1, "n": written, "filler": "x" * 20_000, "end": written})
        assert reader.is_alive()
    done.set()
    reader.join()
    assert max(seen) <= written


def test_a_number_that_json_does_not_know_leaves_the_old_document(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    file = NowFile(path)
    file.replace({"v": 1, "n": 1})
    with pytest.raises(ValueError, match="JSON"):
        file.replace({"v": 1, "n": float("nan")})
    assert read_now(path) == {"v": 1, "n": 1}


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
