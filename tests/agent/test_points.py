"""Messages become points whose names, types and times never vary."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ninebot_bms.registers import REGISTERS
from packtap.derived import DERIVED, DerivedRow
from packtap.points import (
    FIELDS,
    ROWS,
    FieldType,
    Point,
    line_protocol,
    points_of,
    wrong_counter,
    wrong_health,
    wrong_value,
)
from packtap.wire import EventMessage, HealthMessage, JsonValue, LinkMessage, ReadingsMessage, Topic

TOPIC = Topic("workshop", "tap-01", "main", "readings")
T = 1763800012250
HEAD: dict[str, Any] = {
    "agent": "tap-01",
    "bus": "main",
    "pack": "3JAC9E1234C567",
    "store": "s",
    "boot": "b",
}
ORIGIN = {"agent": "tap-01", "bus": "main", "pack": "3JAC9E1234C567", "site": "workshop"}


def _readings(columns: dict[str, list[JsonValue]], t: list[int] | None = None) -> ReadingsMessage:
    return ReadingsMessage(
        agent="tap-01",
        bus="main",
        pack="3JAC9E1234C567",
        store="s",
        seq=1,
        boot="b",
        t=t or [T],
        columns=columns,
    )


def _event(**changes: object) -> EventMessage:
    body: dict[str, object] = {
        "agent": "tap-01",
        "bus": "main",
        "pack": "3JAC9E1234C567",
        "store": "s",
        "seq": 2,
        "boot": "b",
        "t": [T],
        "id": "3JAC9E1234C567/cell_overvoltage/7/s/1",
        "kind": "cell_overvoltage",
        "severity": "critical",
        "state": "raised",
        "cell": 7,
        "value": 4270,
        "limit": 4250.0,
        "unit": "mV",
        "text": 'Cell 7 is at 4270 mV, above "4250" mV',
        **changes,
    }
    return EventMessage(**body)  # type: ignore[arg-type]


def test_reading_becomes_one_pack_line_and_one_line_a_cell() -> None:
    message = _readings(
        {
            "voltage_v": [36],
            "soc_pct": [80],
            "serial": ["3JAC9E1234C567"],
            "balancing_cells": [[3, 7]],
            "cell_voltages_mv": [[3600, None, 3602]],
        }
    )
    lines = [line_protocol(point) for point in points_of(TOPIC, message).points]
    tags = "agent=tap-01,bus=main,{}pack=3JAC9E1234C567,site=workshop"
    assert lines == [
        f"cell,{tags.format('cell=01,')} voltage_mv=3600i {T}",
        f"cell,{tags.format('cell=03,')} voltage_mv=3602i {T}",
        f"pack,{tags.format('')} voltage_v=36.0,soc_pct=80i,"
        f'serial="3JAC9E1234C567",balancing_cells="3,7" {T}',
    ]


def test_value_that_was_not_reported_has_no_field_and_no_line() -> None:
    message = _readings({"soc_pct": [None, 80, None]}, [T, T + 1, T + 2])
    assert points_of(TOPIC, message).points == (Point("pack", ORIGIN, {"soc_pct": 80}, T + 1),)


def test_nothing_balancing_is_an_empty_text_and_differs_from_not_reported() -> None:
    message = _readings({"balancing_cells": [[], None]}, [T, T + 1])
    assert points_of(TOPIC, message).points == (Point("pack", ORIGIN, {"balancing_cells": ""}, T),)


def test_column_of_a_newer_agent_is_left_out_and_named() -> None:
    converted = points_of(TOPIC, _readings({"soc_pct": [80], "cell_pressure_pa": [1.5]}))
    assert converted.unknown == {"cell_pressure_pa"}
    assert [set(point.fields) for point in converted.points] == [{"soc_pct"}]


def test_event_carries_both_ends_with_fixed_types() -> None:
    raised = points_of(TOPIC, _event()).points
    cleared = points_of(TOPIC, _event(state="cleared", cell=None, value=None, limit=None)).points
    assert line_protocol(raised[0]) == (
        "event,agent=tap-01,bus=main,cell=07,kind=cell_overvoltage,pack=3JAC9E1234C567,"
        'severity=critical,site=workshop id="3JAC9E1234C567/cell_overvoltage/7/s/1",state=1i,'
        'text="Cell 7 is at 4270 mV, above \\"4250\\" mV",value=4270.0,limit=4250.0 '
        f"{T}"
    )
    assert cleared[0].tags["cell"] == "00"
    assert set(cleared[0].fields) == {"id", "state", "text"}
    assert cleared[0].fields["state"] == 0


def test_link_emits_only_counters_that_exist() -> None:
    message = LinkMessage(
        agent="tap-01",
        bus="main",
        pack="3JAC9E1234C567",
        store="s",
        seq=3,
        boot="b",
        t=[T],
        counters={"frames": 12, "rejects_checksum": 3.0, "made_up": 1},
    )
    converted = points_of(TOPIC, message)
    assert converted.points == (Point("link", ORIGIN, {"frames": 12, "rejects_checksum": 3}, T),)
    assert converted.unknown == {"made_up"}
    assert wrong_counter("frames", 1.5) == "is not a whole number"
    assert wrong_counter("made_up", 1.5) is None


def test_every_register_row_has_a_field_of_its_own_type() -> None:
    by_type = {int: FieldType.INTEGER, float: FieldType.FLOAT, str: FieldType.TEXT}
    for row in REGISTERS:
        if row.name == "cell_voltages_mv":
            assert FIELDS["cell"]["voltage_mv"] is FieldType.INTEGER
        else:
            expected = by_type.get(row.value_type, FieldType.CELL_NUMBERS)
            assert FIELDS["pack"][row.name] is expected
    of_cells = [row for row in DERIVED if row.per_cell]
    assert len(FIELDS["pack"]) == len(REGISTERS) - 1 + len(DERIVED) - len(of_cells)
    assert len(FIELDS["cell"]) == 1 + len(of_cells)


def test_no_two_rows_have_one_name() -> None:
    names = [row.name for row in REGISTERS] + [row.name for row in DERIVED]
    assert len(set(names)) == len(names)


def test_health_becomes_a_line_a_cell_one_for_the_pack_and_one_a_cause() -> None:
    message = HealthMessage(
        **HEAD,
        seq=3,
        t=[T],
        rows={
            "cell_resistance_mohm": [20, None, 31.5],
            "cell_rest_deviation_pct": [0.0, -1.25],
            "capacity_estimate_mah": None,
            "time_to_limit_h": 720,
            "time_to_limit_cell": 3,
            "identity_doubt": 'says "other" board',
            "of_tomorrow": 1.5,
        },
        causes={"bms_board": 0.25, "none": 0, "gremlins": 0.1},
    )
    converted = points_of(TOPIC, message)
    tags = "agent=tap-01,bus=main,{}pack=3JAC9E1234C567,site=workshop"
    both = "cell_resistance_mohm=20.0,cell_rest_deviation_pct=0.0"
    probability = "agent=tap-01,bus=main,cause={},pack=3JAC9E1234C567,site=workshop probability="
    assert [line_protocol(point) for point in converted.points] == [
        f"cell,{tags.format('cell=01,')} {both} {T}",
        f"cell,{tags.format('cell=02,')} cell_rest_deviation_pct=-1.25 {T}",
        f"cell,{tags.format('cell=03,')} cell_resistance_mohm=31.5 {T}",
        f"pack,{tags.format('')} time_to_limit_h=720.0,time_to_limit_cell=3i,"
        f'identity_doubt="says \\"other\\" board" {T}',
        f"diagnosis,{probability.format('bms_board')}0.25 {T}",
        f"diagnosis,{probability.format('none')}0.0 {T}",
    ]
    assert converted.unknown == {"of_tomorrow", "gremlins"}


@pytest.mark.parametrize("row", DERIVED, ids=[row.name for row in DERIVED])
def test_every_derived_row_has_a_field_of_its_own_type(row: DerivedRow) -> None:
    value: Any = {float: 1, int: 1, str: "one"}[row.value_type]
    sent = [None, value] if row.per_cell else value
    assert wrong_health(row.name, sent) is None
    message = HealthMessage(**HEAD, seq=1, t=[T], rows={row.name: sent})
    (point,) = points_of(TOPIC, message).points
    assert point.measurement == ("cell" if row.per_cell else "pack")
    assert type(point.fields[row.name]) is row.value_type
    assert row.name in FIELDS[point.measurement]
    assert wrong_health(row.name, {}) is not None  # type: ignore[arg-type]


_NUMBER = st.one_of(
    st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)


@given(st.sampled_from(sorted(ROWS)), _NUMBER)
def test_type_of_a_field_never_depends_on_the_value(name: str, value: float) -> None:
    if wrong_value(name, value) is not None:
        return
    (point,) = points_of(TOPIC, _readings({name: [value]})).points
    ((_, field),) = point.fields.items()
    text = line_protocol(point).rsplit(" ", 2)[1].partition("=")[2]
    if ROWS[name] is FieldType.FLOAT:
        assert isinstance(field, float)
        assert not text.endswith("i")
        assert float(text) == float(value)
    else:
        assert ROWS[name] is FieldType.INTEGER
        assert isinstance(field, int)
        assert text == f"{int(value)}i"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("soc_pct", 80, None),
        ("soc_pct", 80.0, None),
        ("soc_pct", 80.5, "is not a whole number"),
        ("soc_pct", 1e300, "is not a whole number"),
        ("soc_pct", "80", "is not a whole number"),
        ("voltage_v", 36, None),
        ("voltage_v", float("nan"), "is not a number"),
        ("voltage_v", [36], "is not a number"),
        ("serial", 7, "is not a text"),
        ("balancing_cells", [], None),
        ("balancing_cells", [0], "is not a list of cell numbers, 1-16"),
        ("balancing_cells", [None], "is not a list of cell numbers, 1-16"),
        ("cell_voltages_mv", [3600, None], None),
        ("cell_voltages_mv", [3600] * 17, "is not a list of at most 16 cells"),
        ("cell_voltages_mv", 3600, "is not a list of at most 16 cells"),
        ("of_a_newer_agent", "anything", None),
    ],
)
def test_value_is_held_against_the_type_of_its_row(
    name: str, value: JsonValue, problem: str | None
) -> None:
    assert wrong_value(name, value) == problem


def _split(line: str) -> tuple[dict[str, str], str]:
    """Take a line apart as InfluxDB does: a backslash hides the character after it."""
    words: list[str] = [""]
    hidden = False
    separators = itertools.chain("".join([",", "="]), " ")
    marks = set(separators)
    rest = ""
    for position, character in enumerate(line):
        if hidden:
            words[-1] += character
            hidden = False
        elif character == "\\":
            hidden = True
        elif character == " ":
            rest = line[position + 1 :]
            break
        elif character in marks:
            words.append("")
        else:
            words[-1] += character
    return dict(zip(words[1::2], words[2::2], strict=True)), rest


@given(st.text(min_size=1, max_size=40), st.text(max_size=40))
def test_no_text_can_break_out_of_its_tag_or_field(pack: str, text: str) -> None:
    origin = dict(ORIGIN, pack=pack)
    line = line_protocol(Point("event", origin, {"text": text, "state": 1}, T))
    assert len(line.splitlines()) == 1
    tags, rest = _split(line)
    assert set(tags) == set(ORIGIN)
    assert (tags["agent"], tags["site"]) == ("tap-01", "workshop")
    assert rest.startswith('text="')
    assert rest.endswith(f'",state=1i {T}')
    inside = rest.removeprefix('text="').removesuffix(f'",state=1i {T}')
    assert '"' not in inside.replace("\\\\", "").replace('\\"', "")
