"""`--config` of diagnose and replay: a fleet's own limits and prices count there too."""

import json
from pathlib import Path
from typing import Any

import pytest

from packtap.cli import main
from packtap.config import PackConfig, Prices, example_agent, load_judging
from packtap.errors import ConfigError
from packtap.report.judging import judge, take_capture
from packtap.tap import TapSettings

SCENARIOS = Path(__file__).parents[1] / "scenarios"
#: Cell 8 of this one is 18.6 points of charge off at rest; its serial begins with 3J.
IMBALANCED = str(SCENARIOS / "visit_006.log.gz")
WIDE = "cell_imbalance_pct = 25.0\n"
PACK, MODEL = f"[pack]\n{WIDE}", f'[[pack_model]]\nname = "M365"\nserial_starts = ["3J"]\n{WIDE}'
OTHER = MODEL.replace("3J", "4K")

Printed = pytest.CaptureFixture[str]


def file_of(folder: Path, text: str) -> str:
    path = folder / "limits.toml"
    path.write_text(text)
    return str(path)


def lines_of(capsys: Printed, command: str, *words: str) -> tuple[int, list[dict[str, Any]]]:
    code = main([command, IMBALANCED, "--json", *words])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("command", ["replay", "diagnose"])
@pytest.mark.parametrize(
    ("text", "is_quiet"), [(PACK, True), (MODEL, True), (OTHER, False)], ids=["pack", "3J", "4K"]
)
def test_limits_of_the_fleet_count(
    command: str, text: str, is_quiet: bool, tmp_path: Path, capsys: Printed
) -> None:
    code, lines = lines_of(capsys, command, "--config", file_of(tmp_path, text))
    assert lines[-1]["diagnosis"][0]["cause"] == ("none" if is_quiet else "cell_damage")
    assert code == (0 if is_quiet else 1)


def test_an_agents_own_file_will_do_and_changes_nothing_by_its_defaults(
    tmp_path: Path, capsys: Printed
) -> None:
    agent = tmp_path / "agent.toml"
    agent.write_text(example_agent())
    assert lines_of(capsys, "replay", "--config", str(agent)) == lines_of(capsys, "replay")


def test_prices_of_the_file_count_and_those_of_a_file_of_their_own_more(
    tmp_path: Path, capsys: Printed
) -> None:
    config = file_of(tmp_path, "[prices]\npack = [100, 200]\nlabour = [10, 20]\n")
    _, (document,) = lines_of(capsys, "diagnose", "--config", config)
    assert document["suspects"][0]["repairs"][0]["cost"] == [110, 220]
    assert document["prices_are"] == "your own"
    own = tmp_path / "prices.toml"
    own.write_text("[prices]\npack = [1, 1]\nlabour = [1, 1]\n")
    _, (document,) = lines_of(capsys, "diagnose", "--config", config, "--prices", str(own))
    assert document["suspects"][0]["repairs"][0]["cost"] == [2, 2]


def test_the_report_draws_the_limits_that_were_used(tmp_path: Path) -> None:
    text = "[pack]\ncell_undervoltage_mv = 3000\ncell_undervoltage_clear_mv = 3050\n"
    judging, prices = load_judging(file_of(tmp_path, text))
    assert prices is None
    settings = TapSettings(pack=judging.pack, models=judging.pack_model)
    assert judge(take_capture(IMBALANCED, settings), Prices()).cell_limits.undervoltage_mv == 3000
    usual = judge(take_capture(IMBALANCED, TapSettings()), Prices())
    assert usual.cell_limits.undervoltage_mv == PackConfig().cell_undervoltage_mv


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[pack]\ncell_imbalence_pct = 9\n", ["cell_imbalence_pct", "cell_imbalance_pct"]),
        ("[pack]\ncell_undervoltage_mv = 9000\nover_current_a = -1\n", ["undervoltage", "over_"]),
        ('[[pack_model]]\nname = "x"\n', ["fits no pack"]),
        (f"{MODEL}{MODEL}", ["twice"]),
        ("[prices]\nbord = [1, 2]\n", ["prices.bord"]),
        ("[sack]\nx = 1\n", ["no table [pack], [[pack_model]] or [prices]"]),
        ("", ["no table [pack]"]),
        ("pack = 4\n", ["pack"]),
        ("[pack", ["this is not TOML"]),
    ],
    ids=["misspelt", "two mistakes", "no pack", "twice", "prices", "foreign", "empty", "4", "bad"],
)
def test_every_mistake_is_said_in_one_go(
    text: str, words: list[str], tmp_path: Path, capsys: Printed
) -> None:
    path = file_of(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_judging(path)
    assert all(word in str(caught.value) for word in words)
    for command in ("replay", "diagnose"):
        assert main([command, IMBALANCED, "--config", path]) == 2
        assert "Traceback" not in capsys.readouterr().err


def test_a_file_that_is_not_there_is_a_mistake_of_the_caller(capsys: Printed) -> None:
    assert main(["diagnose", IMBALANCED, "--config", "nowhere.toml"]) == 2
    assert "there is no such file" in capsys.readouterr().err
