"""The limits of the checks: each is a key of [pack], reaches its check, and stands in its row."""

import dataclasses
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from packtap import kinds
from packtap.analysis.occasion import Occasion
from packtap.analysis.open_events import OpenEvents
from packtap.config import PackConfig, inspect_file
from packtap.tap import PackChecks, Tap, TapSettings
from stories import judge, raised, snapshot

KEYS = {field.name: field for field in fields(PackConfig)}


def default_of(key: str) -> Any:
    return KEYS[key].default


#: What no check uses: when the end of an event is told.
TOLD = {"cooldown_s"}
START = """
site = "workshop"
agent = "pi-01"
bus = "bay-1"
lines.bms.port = "/dev/ttyUSB0"
mqtt.host = "broker"
[pack]
"""


def used_limits(root: object, seen: set[int] | None = None) -> dict[str, set[object]]:
    """Return what the checks below an object hold of the limits of the pack, by key."""
    seen = set() if seen is None else seen
    found: dict[str, set[object]] = {}
    if id(root) in seen:
        return found
    seen.add(id(root))
    inner: list[object] = list(root) if isinstance(root, tuple | list) else []
    if dataclasses.is_dataclass(root) and not isinstance(root, type):
        for field in fields(root):
            if "pack" in field.metadata:
                found.setdefault(field.metadata["pack"], set()).add(getattr(root, field.name))
    elif type(root).__module__.startswith("packtap"):
        inner = list(vars(root).values()) if hasattr(root, "__dict__") else []
    for each in inner:
        for key, values in used_limits(each, seen).items():
            found.setdefault(key, set()).update(values)
    return found


def test_every_limit_reaches_the_checks_and_no_check_keeps_a_default() -> None:
    shifted = dataclasses.replace(
        PackConfig(),
        **{name: default_of(name) + 1 for name in KEYS},
    )
    tap = Tap(TapSettings(pack=shifted), OpenEvents("test"))
    found = used_limits(PackChecks(shifted, Occasion(), lambda: 0)) | used_limits(tap)
    expected = {name: {getattr(shifted, name)} for name in KEYS if name not in TOLD}
    assert found == expected


def test_every_limit_stands_in_the_row_of_a_kind_and_every_row_names_limits_that_exist() -> None:
    named = {key for kind in kinds.KINDS for key in kind.limits}
    assert named == set(KEYS) - TOLD


def test_the_words_of_a_row_state_the_default_limits() -> None:
    for kind in kinds.KINDS:
        words = f"{kind.raised} {kind.cleared}"
        for key in kind.limits:
            assert f"{default_of(key):g}" in words, (kind.name, key)


@pytest.mark.parametrize("key", [name for name in KEYS if "_clear_" in name])
def test_a_limit_that_clears_is_never_the_one_that_raises(tmp_path: Path, key: str) -> None:
    raises = default_of(key.replace("_clear", ""))
    file = tmp_path / "agent.toml"
    file.write_text(f"{START}{key} = {raises}\n")
    problems = inspect_file(file).problems
    assert {problem.path for problem in problems} == {f"pack.{key}"}
    assert "the limit that raises" in str(problems[0])


@pytest.mark.parametrize("key", KEYS)
def test_a_limit_out_of_its_range_is_refused_with_the_range(tmp_path: Path, key: str) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(f"{START}{key} = 1000000\n")
    (problem,) = inspect_file(file).problems
    assert problem.path == f"pack.{key}"
    assert "is outside" in problem.text


def test_an_event_carries_the_limit_that_was_used() -> None:
    pack = PackConfig(over_temperature_c=45.0, over_temperature_clear_c=40.0)
    checks = PackChecks(pack, Occasion(), lambda: 0)
    story = [
        dataclasses.replace(
            snapshot(float(t), temperature_1_c=47, temperature_2_c=46, status=1),
            temperatures_raw={"temperature_1_c": 67, "temperature_2_c": 66},
        )
        for t in range(5)
    ]
    [event] = judge(checks.update, story)
    assert list(raised([event])) == [("over_temperature", None)]
    assert (event.value, event.limit) == (47, 45.0)
    assert "(limit 45)" in event.text
