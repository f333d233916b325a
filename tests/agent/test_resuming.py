"""The file that carries what the tap knows over a restart: used when it fits, else never."""

import json
import logging
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rides
from agent.test_tap import cells_reply
from packtap import resuming
from packtap.analysis.open_events import OpenEvents
from packtap.config import PackConfig
from packtap.resuming import Resumption, state_path
from packtap.simulated.scooter import Plan
from packtap.simulated.wires import Wires
from packtap.tap import Tap, TapSettings

SETTINGS = TapSettings(unknown_pack="unknown-pi-a")
LOW = (*(3600,) * 9, 2700)


def resumption(path: Path, **other: Any) -> Resumption:
    return Resumption(
        **{"path": path, "boot": "boot-a", "store": "store-a", "settings": SETTINGS, **other}
    )


def half_way() -> Tap:
    """Return a tap that has seen a cell too low for one second of the two that it takes."""
    tap = Tap(SETTINGS, OpenEvents("x"))
    assert tap.digest([cells_reply(100.0, *LOW), cells_reply(101.0, *LOW)]).events == []
    return tap


def goes_on(tap: Tap) -> bool:
    """Return whether one more reading is enough."""
    return bool(tap.digest([cells_reply(103.0, *LOW)]).events)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "a.state"
    resumption(path).save(half_way(), 101.5)
    return path


def test_a_tap_goes_on_where_it_was_and_the_file_is_gone(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        tap = resumption(path).tap(OpenEvents("x"), 102.5)
    assert goes_on(tap)
    assert caplog.messages == ["the checks go on where they were 1 s ago"]
    # Whoever fails over what it says must not find it again.
    assert list(path.parent.iterdir()) == []
    assert not goes_on(resumption(path).tap(OpenEvents("x"), 102.5))


def test_without_a_file_the_checks_start_anew_and_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert not goes_on(resumption(tmp_path / "a.state").tap(OpenEvents("x"), 102.5))
    assert caplog.messages == []


def test_nobody_else_may_read_or_write_it(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    resumption(path).save(half_way(), 101.5)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["a.state"]


def test_it_stands_beside_the_now_file() -> None:
    assert state_path(Path("/run/packtap/bay-1.json")) == Path("/run/packtap/bay-1.state")
    assert state_path(Path("/run/packtap/bay.1.json")) == Path("/run/packtap/bay.1.state")


@pytest.mark.parametrize(
    ("other", "now", "why"),
    [
        ({"boot": "boot-b"}, 102.5, "it is another boot's"),
        ({"store": "store-b"}, 102.5, "it is another store's"),
        (
            {"settings": replace(SETTINGS, pack=PackConfig(rest_s=61.0))},
            102.5,
            "it is another program or configuration's",
        ),
        ({}, 101.4, "it is of the future"),
        ({}, 401.6, "it is older than 300 s"),
    ],
    ids=["another boot", "another store", "other limits", "the future", "long ago"],
)
def test_a_state_that_does_not_belong_here_is_not_used_and_it_is_said_why(
    path: Path, caplog: pytest.LogCaptureFixture, other: dict[str, Any], now: float, why: str
) -> None:
    with caplog.at_level(logging.INFO):
        tap = resumption(path, **other).tap(OpenEvents("x"), now)
    assert caplog.messages == [f"the checks start anew, {path} is not used: {why}"]
    assert not goes_on(tap)
    assert not path.exists()


def test_a_state_of_another_program_is_not_used(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("packtap.__version__", "0.0.9")
    with caplog.at_level(logging.INFO):
        fresh = resumption(path, settings=replace(SETTINGS, rested=False)).tap
        resuming._program.cache_clear()
        assert not goes_on(fresh(OpenEvents("x"), 102.5))
        resuming._program.cache_clear()
    assert "another program" in caplog.text


def cut(path: Path) -> bytes:
    return path.read_bytes()[:-100]


def one_bit(path: Path) -> bytes:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    return bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        one_bit,
        lambda path: path.read_bytes() * 2,
        lambda _: b"",
        lambda _: b"\n",
        lambda _: b"{}",
        lambda _: b"\x80\x04\x95cos\nsystem\n(S'true'\ntR.",
        lambda _: b"[" * 3_000_000,
    ],
    ids=["cut", "one bit", "twice", "empty", "a line", "an object", "a pickle", "huge"],
)
def test_a_damaged_file_starts_the_checks_anew(
    path: Path, damage: Callable[[Path], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(damage(path))
    with caplog.at_level(logging.INFO):
        assert not goes_on(resumption(path).tap(OpenEvents("x"), 102.5))
    assert len(caplog.messages) == 1
    assert "it is damaged, or not whole" in caplog.text
    assert not path.exists()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=9)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=4),
                st.dictionaries(
                    st.sampled_from(["state", "t", "boot", "store", "program", "known"]), inner
                ),
            ),
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_whatever_stands_there_with_a_right_sum_never_stops_the_agent(
    tmp_path: Path, text: bytes
) -> None:
    path = tmp_path / "a.state"
    path.write_bytes(resuming._sum(text) + b"\n" + text)
    assert not goes_on(resumption(path).tap(OpenEvents("x"), 102.5))


def test_a_true_head_over_a_foreign_state_never_stops_the_agent(path: Path) -> None:
    saved = json.loads(path.read_bytes().partition(b"\n")[2])
    states: list[object] = [None, [], {}, {"known": {"part": []}}, {"addresses": [1], "open": []}]
    for foreign in states:
        text = json.dumps({**saved, "state": foreign}).encode()
        path.write_bytes(resuming._sum(text) + b"\n" + text)
        assert not goes_on(resumption(path).tap(OpenEvents("x"), 102.5))


def test_a_directory_or_a_pipe_in_its_place_does_not_hold_the_agent_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, pipe = tmp_path / "folder", tmp_path / "pipe"
    folder.mkdir()
    os.mkfifo(pipe)
    with caplog.at_level(logging.INFO):
        for path in (folder, pipe):
            assert not goes_on(resumption(path).tap(OpenEvents("x"), 102.5))
    assert len(caplog.messages) == 2


def test_a_disk_that_takes_nothing_is_said_once_and_works_again_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = tmp_path / "a-file"
    in_the_way.touch()
    keeper = resumption(in_the_way / "a.state")
    for now in range(3):
        keeper.save(half_way(), float(now))
    assert len(caplog.messages) == 1
    in_the_way.unlink()
    keeper.save(half_way(), 101.5)
    assert goes_on(resumption(in_the_way / "a.state").tap(OpenEvents("x"), 102.5))


def test_it_is_kept_every_ten_seconds(tmp_path: Path) -> None:
    path = tmp_path / "a.state"
    keeper, tap = resumption(path), half_way()
    written = []
    for now in range(35):
        keeper.keep(tap, float(now))
        if path.exists():
            written.append(json.loads(path.read_bytes().partition(b"\n")[2])["t"])
    assert sorted(set(written)) == [10.0, 20.0, 30.0]


def test_the_file_of_a_long_ride_is_far_below_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "a.state"
    tap = rides.fresh_tap(SETTINGS)
    rides.replayed(rides.reads(Wires(Plan(cells=16)), 120.0), tap)
    resumption(path).save(tap, 120.0)
    assert 5_000 < path.stat().st_size < 100_000
