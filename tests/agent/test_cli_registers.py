"""`packtap registers` prints what the rows say; the golden files are reviewed like code."""

import json
from pathlib import Path

import pytest

from ninebot_bms.registers import ESC_REGISTERS, REGISTERS
from ninebot_bms.status import STATUS_FLAGS
from packtap.cli import main
from packtap.derived import DERIVED

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.mark.parametrize(
    ("options", "golden"),
    [([], "registers.txt"), (["--markdown"], "registers.md"), (["--json"], "registers.jsonl")],
    ids=["text", "markdown", "json"],
)
def test_the_printed_table_is_the_reviewed_one(
    options: list[str], golden: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["registers", *options]) == 0
    assert capsys.readouterr().out == (GOLDEN / golden).read_text(encoding="utf-8")


def test_json_has_one_object_for_each_row_and_status_bit(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["registers", "--json"])
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["name"] for record in records] == [
        *(row.name for row in REGISTERS),
        *(row.name for row in ESC_REGISTERS),
        *(flag.name for flag in STATUS_FLAGS),
        *(row.name for row in DERIVED),
    ]


def test_two_forms_at_once_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["registers", "--json", "--markdown"])
    assert caught.value.code == 2
    assert "not allowed with" in capsys.readouterr().err
