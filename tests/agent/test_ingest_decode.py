"""Whatever a broker delivers is a message, or refused with a reason; nothing raises."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packtap.errors import StoreError
from packtap.ingest.dead_letter import KEPT_PAYLOAD, DeadLetters, Letter
from packtap.ingest.decode import EARLIEST_MS, MAX_PAYLOAD, decode
from packtap.ingest.sinks import KeptForLater, Refused
from packtap.wire import (
    QUEUED_KINDS,
    EventMessage,
    HealthMessage,
    LinkMessage,
    QueuedMessage,
    ReadingsMessage,
    Topic,
    encode,
)

NOW = 1763800100000
T = 1763800012250
TOPIC = "packtap/v1/workshop/tap-01/main/readings"
DAY = 86_400_000


def _body(**changes: Any) -> dict[str, Any]:
    return {
        "v": 1,
        "agent": "tap-01",
        "bus": "main",
        "pack": "3JAC9E1234C567",
        "store": "0f3c",
        "seq": 1,
        "boot": "b7",
        "t": [T, T + 250],
        "columns": {
            "soc_pct": [80, None],
            "voltage_v": [36.5, 36],
            "cell_voltages_mv": [[3600], []],
        },
        **changes,
    }


def _columns(**columns: Any) -> bytes:
    return json.dumps(_body(columns=columns)).encode()


def _json(**changes: Any) -> bytes:
    return json.dumps(_body(**changes)).encode()


def _event(**changes: Any) -> bytes:
    body = {
        **{key: value for key, value in _body(t=[T]).items() if key != "columns"},
        "id": "x/1",
        "kind": "cell_overvoltage",
        "severity": "critical",
        "state": "raised",
        "cell": 3,
        "value": 4260,
        "limit": 4250,
        "unit": "mV",
        "text": "Cell 3",
        **changes,
    }
    return json.dumps(body).encode()


def _link(**changes: Any) -> bytes:
    body = {key: value for key, value in _body(t=[T]).items() if key != "columns"}
    return json.dumps({**body, "counters": {"frames": 1}, **changes}).encode()


def _health(**changes: Any) -> bytes:
    body = {key: value for key, value in _body(t=[T]).items() if key != "columns"}
    said = {"rows": {"cell_resistance_mohm": [20.5, None]}, "causes": {"none": 0.9}}
    return json.dumps({**body, **said, **changes}).encode()


def _reason(payload: bytes, kind: str = "readings", now_ms: int = NOW) -> str:
    with pytest.raises(Refused) as refused:
        decode(f"packtap/v1/workshop/tap-01/main/{kind}", payload, now_ms, lambda: True)
    return refused.value.reason


def test_what_the_agent_encodes_is_what_ingest_decodes() -> None:
    head = {"agent": "tap-01", "bus": "main", "pack": "p", "store": "s", "seq": 9, "boot": "b"}
    readings = ReadingsMessage(
        **head,  # type: ignore[arg-type]
        t=[T, T + 200],
        columns={
            "soc_pct": [80, None],
            "serial": ["é", None],
            "cell_voltages_mv": [[1, None], None],
        },
    )
    event = EventMessage(
        **head,  # type: ignore[arg-type]
        t=[T],
        id="i",
        kind="bus_noise",
        severity="info",
        state="cleared",
    )
    link = LinkMessage(**head, t=[T], counters={"frames": 1})  # type: ignore[arg-type]
    health = HealthMessage(
        **head,  # type: ignore[arg-type]
        t=[T],
        rows={"cell_resistance_mohm": [20.5, None], "time_to_limit_h": None, "outlook": "no trend"},
        causes={"none": 0.75, "bms_board": 0.25},
    )
    messages: dict[str, QueuedMessage] = {
        "readings": readings,
        "event": event,
        "health": health,
        "link": link,
    }
    assert messages.keys() == QUEUED_KINDS
    for kind, message in messages.items():
        decoded = decode(f"packtap/v1/workshop/tap-01/main/{kind}", encode(message), NOW)
        assert decoded is not None
        assert decoded.message == message
        assert decoded.topic == Topic("workshop", "tap-01", "main", kind)


def test_unknown_keys_and_columns_of_a_newer_agent_are_taken() -> None:
    decoded = decode(TOPIC, _json(columns={"of_tomorrow": [1.5, "x"]}, extra={"a": [1]}), NOW)
    assert decoded is not None
    assert isinstance(decoded.message, ReadingsMessage)
    assert decoded.message.columns == {"of_tomorrow": [1.5, "x"]}


_UNSTORED = ["status", "pack", "state", "state/bms2", "diagnosis", "doctor"]


@pytest.mark.parametrize("kind", _UNSTORED)
@pytest.mark.parametrize("payload", [b"", b'{"status":"online"}', b"\xff\x00"])
def test_kinds_that_are_not_stored_are_taken_whatever_they_hold(kind: str, payload: bytes) -> None:
    assert decode(f"packtap/v1/workshop/tap-01/main/{kind}", payload, NOW) is None


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "packtap/v1",
        "packtap/v2/workshop/tap-01/main/readings",
        "packtap/v1/workshop/tap-01/main",
        "packtap/v1/workshop/tap-01/main/readings/more",
        "packtap/v1/Workshop/tap-01/main/readings",
        "packtap/v1/workshop/tap,01/main/readings",
        "packtap/v1/workshop/" + "x" * 65 + "/main/readings",
        "packtap/v1/workshop/tap-01/main/readings\n",
    ],
)
def test_foreign_topic_is_refused(topic: str) -> None:
    with pytest.raises(Refused, match="the topic is not packtap/v1"):
        decode(topic, _json(), NOW)


HOSTILE = {
    "empty": (b"", "truncated"),
    "null": (b"null", "Expected `object`"),
    "not JSON": (b"\x55\xaa\x03\x22", "not a valid readings message"),
    "not UTF-8": (_json().replace(b"3JAC", b"\xff\xfe\xfd\xfc"), "not a valid readings message"),
    "cut off": (_json()[:-10], "truncated"),
    "two objects": (_json() + _json(), "trailing characters"),
    "NaN": (_columns(voltage_v=[float("nan"), 1]), "malformed"),
    "Infinity": (_columns(voltage_v=[float("inf"), 1]), "malformed"),
    "beyond a float": (_json().replace(b"36.5", b"1e999"), "out of range"),
    "integer of 5000 digits": (_json().replace(b"36.5", b"9" * 5000), "not a valid"),
    "integer of 30 digits": (_columns(soc_pct=[10**30, 1]), "soc_pct[0] is beyond 64 bits"),
    "deep columns": (_json().replace(b"[80, null]", b"[" * 100_000), "not a valid"),
    "deep unknown key": (
        _json()[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "nested too deeply",
    ),
    "10 MB": (b'{"v":1,"x":"' + b"y" * 10_000_000 + b'"}', f"at most {MAX_PAYLOAD}"),
    "newer schema": (_json(v=2, columns="quite different"), "schema 2 is newer than 1"),
    "schema 0": (_json(v=0), "schema 0 never existed"),
    "schema as text": (_json(v="1"), "Expected `int`"),
    "no schema": (json.dumps({"agent": "tap-01"}).encode(), "missing required field `v`"),
    "other agent": (_json(agent="tap-02"), "a device may speak for itself only"),
    "other bus": (_json(bus="second"), "a device may speak for itself only"),
    "no pack": (_json(pack=""), "pack has 0 characters"),
    "blank pack": (_json(pack="  "), "pack has 2 characters"),
    "long pack": (_json(pack="x" * 257), "pack has 257 characters"),
    "long store": (_json(store="x" * 100_000), "store has 100000 characters"),
    "boolean": (_columns(soc_pct=[True, 1]), "got `bool`"),
    "object as value": (_columns(soc_pct=[{"a": 1}, 1]), "got `object`"),
    "text as time": (_json(t=["now", T]), "Expected `int`"),
    "float as time": (_json(t=[T + 0.5, T + 1]), "Expected `int`"),
    "seq 0": (_json(seq=0), "seq is not between"),
    "seq beyond 64 bits": (_json(seq=2**63), "seq is not between"),
    "no times": (_json(t=[], columns={}), "0 sample times"),
    "too many times": (_json(t=list(range(T, T + 10_001))), "10001 sample times"),
    "year 9999": (_json(t=[T, 253_402_300_799_000]), "t[1] is 253402300799000 ms"),
    "before 2020": (_json(t=[0, T]), "t[0] is 0 ms"),
    "seconds instead of ms": (_json(t=[T // 1000, T]), "t[0] is 1763800012 ms"),
    "negative time": (_json(t=[-(10**40), T]), "t[0] is -1000000000000000000000"),
    "same time twice": (_json(t=[T, T]), "t[1] is not later"),
    "time goes back": (_json(t=[T, T - 1]), "t[1] is not later"),
    "ragged columns": (
        _columns(soc_pct=[80, 81], voltage_v=[36.5]),
        "voltage_v has 1 values for 2",
    ),
    "no columns": (_columns(), "0 columns"),
    "too many columns": (_columns(**{f"c{i}": [1, 2] for i in range(257)}), "257 columns"),
    "column name with a comma": (_columns(**{"a,b=c": [1, 2]}), "is not the name of a row"),
    "duplicate column": (
        _json().replace(b'"columns": {', b'"columns": {"soc_pct": [1, 2], '),
        "'soc_pct' stands there twice",
    ),
    "duplicate key": (b'{"seq": 5,' + _json()[1:], "'seq' stands there twice"),
    "17 cells": (_columns(cell_voltages_mv=[[3600] * 17, None]), "has 17 cells"),
    "cell beyond 64 bits": (_columns(cell_voltages_mv=[[2**64], None]), "is beyond 64 bits"),
    "cell as float": (_columns(cell_voltages_mv=[[3600.5], None]), "got `float`"),
    "long text": (_columns(serial=["x" * 257, None]), "serial[0] has 257 characters"),
    "text for a number": (_columns(soc_pct=["80", None]), "soc_pct[0] is not a whole number"),
    "half a percent": (_columns(soc_pct=[80.5, None]), "soc_pct[0] is not a whole number"),
    "number for a text": (_columns(serial=[7, None]), "serial[0] is not a text"),
    "cells for a number": (_columns(voltage_v=[[1], None]), "voltage_v[0] is not a number"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_readings_are_refused_with_a_reason(name: str) -> None:
    payload, expected = HOSTILE[name]
    reason = _reason(payload)
    assert expected in reason
    assert len(reason) < 400


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (_event(t=[T, T + 1]), "an event has one time, not 2"),
        (_event(kind="a b"), "is not the name of an event kind"),
        (_event(severity="alarm"), "severity 'alarm' is not info, warning or critical"),
        (_event(state="open"), "state 'open' is not raised or cleared"),
        (_event(cell=0), "cell is not between 1 and 16"),
        (_event(cell=17), "cell is not between 1 and 16"),
        (_event(cell=1.5), "Expected `int | null`"),
        (_event(id=""), "id or unit is not"),
        (_event(unit="x" * 257), "id or unit is not"),
        (_event(text="x" * 2001), "text has 2001 characters"),
        (_event(value="4260"), "Expected `float | null`"),
    ],
)
def test_hostile_event_is_refused_with_a_reason(payload: bytes, expected: str) -> None:
    assert expected in _reason(payload, "event")


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (_link(t=[T, T + 1]), "a link message has one time, not 2"),
        (_link(counters={}), "0 counters"),
        (_link(counters={"a b": 1}), "is not the name of a row"),
        (_link(counters={"frames": 1e300}), "counter frames is beyond 64 bits"),
        (_link(counters={"frames": 1.5}), "counter frames is not a whole number"),
        (_link(counters={"frames": None}), "Expected `int | float`"),
    ],
)
def test_hostile_link_message_is_refused_with_a_reason(payload: bytes, expected: str) -> None:
    assert expected in _reason(payload, "link")


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (_health(t=[T, T + 1]), "a health message has one time, not 2"),
        (_health(rows={}, causes={}), "says nothing"),
        (_health(rows={"a b": 1}), "is not the name of a row"),
        (_health(rows={f"r{i}": 1 for i in range(257)}), "more than 256 rows"),
        (_health(rows={"time_to_limit_h": "soon"}), "time_to_limit_h is not a number"),
        (_health(rows={"time_to_limit_h": [1]}), "time_to_limit_h is not a number"),
        (_health(rows={"time_to_limit_cell": 1.5}), "is not a whole number"),
        (_health(rows={"identity_doubt": 7}), "identity_doubt is not a text"),
        (_health(rows={"identity_doubt": "x" * 2001}), "has 2001 characters"),
        (_health(rows={"cell_resistance_mohm": 7}), "is not a list of at most 16 numbers"),
        (_health(rows={"cell_resistance_mohm": [7] * 17}), "has 17 cells"),
        (_health(rows={"cell_resistance_mohm": ["7"]}), "Expected"),
        (_health(rows={"of_tomorrow": [10**30]}), "is beyond 64 bits"),
        (_health(causes={"none": 1.01}), "the probability of none is not between 0 and 1"),
        (_health(causes={"none": -0.1}), "the probability of none is not between 0 and 1"),
        (_health(causes={"none": None}), "Expected `float`"),
        (_health(causes={"a,b=c": 0.5}), "is not the name of a cause"),
        (_health(causes={f"c{i}": 0.0 for i in range(33)}), "or 32 causes"),
    ],
)
def test_hostile_health_message_is_refused_with_a_reason(payload: bytes, expected: str) -> None:
    assert expected in _reason(payload, "health")


def test_rows_and_causes_of_a_newer_agent_are_taken() -> None:
    payload = _health(rows={"of_tomorrow": [0.5, None]}, causes={"gremlins": 1})
    decoded = decode("packtap/v1/workshop/tap-01/main/health", payload, NOW)
    assert decoded is not None
    assert isinstance(decoded.message, HealthMessage)
    assert decoded.message.rows == {"of_tomorrow": [0.5, None]}
    assert decoded.message.causes == {"gremlins": 1.0}


def test_kind_of_a_newer_agent_is_refused_not_lost_in_silence() -> None:
    assert "kind 'weather' is not known" in _reason(b"{}", "weather")


def test_time_is_judged_by_a_clock_that_is_right_and_else_leniently() -> None:
    assert decode(TOPIC, _json(t=[NOW, NOW + DAY]), NOW, lambda: True) is not None
    assert "one day from now" in _reason(_json(t=[NOW, NOW + DAY + 1]))
    assert decode(TOPIC, _json(t=[NOW, NOW + 20 * DAY]), EARLIEST_MS - 1) is not None
    assert "t[1]" in _reason(_json(t=[T, 253_402_300_799_000]), now_ms=0)


def test_reading_from_ahead_is_kept_while_this_machines_own_clock_may_be_behind() -> None:
    with pytest.raises(KeptForLater, match="time server") as kept:
        decode(TOPIC, _json(t=[NOW, NOW + 5 * DAY]), NOW, lambda: False)
    assert str(NOW) not in kept.value.reason  # the same text for every message: logged once
    with pytest.raises(Refused, match="2020 and 2100"):
        decode(TOPIC, _json(t=[NOW, 4_102_444_800_001]), NOW, lambda: False)
    with pytest.raises(Refused, match="not a whole number"):
        ahead = _json(t=[NOW + 5 * DAY], columns={"soc_pct": ["full"]})
        decode(TOPIC, ahead, NOW, lambda: False)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from(sorted(_body())), _JSON)
def test_any_value_in_any_place_is_taken_or_refused(key: str, value: Any) -> None:
    payload = json.dumps({**_body(), key: value}).encode()
    try:
        decoded = decode(TOPIC, payload, NOW, lambda: True)
    except Refused as refused:
        assert refused.reason
    else:
        assert decoded is not None
        assert isinstance(decoded.message, ReadingsMessage)
        assert all(len(column) == 2 for column in decoded.message.columns.values())


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(payload: bytes) -> None:
    assert _reason(payload)


def test_dead_letters_are_whole_lines_with_reason_and_payload(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "new" / "dead.jsonl", 2**20)
    letters.append([Letter(TOPIC, b'{"v": 9}', "too new"), Letter("x", b"\xff\x00", "no text")], T)
    first, second = (tmp_path / "new" / "dead.jsonl").read_text().splitlines()
    assert json.loads(first) == {
        "t": "2025-11-22T08:26:52.250Z",
        "reason": "too new",
        "topic": TOPIC,
        "size": 8,
        "payload": '{"v": 9}',
    }
    assert json.loads(second)["payload_base64"] == "/wA="


def test_payload_that_was_cut_says_so(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    whole, long = b"x" * KEPT_PAYLOAD, b"x" * (KEPT_PAYLOAD + 1)
    DeadLetters(path, 2**22).append([Letter("a", whole, "r"), Letter("b", long, "r")], T)
    first, second = map(json.loads, path.read_text().splitlines())
    assert "cut" not in first
    assert (second["cut"], second["size"]) == (True, KEPT_PAYLOAD + 1)
    assert len(second["payload"]) == KEPT_PAYLOAD


def test_half_a_line_left_by_a_crash_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    path.write_bytes(b'{"t": "2025-')
    DeadLetters(path, 2**20).append([Letter("x", b"y", "z")], T)
    assert json.loads(path.read_text().splitlines()[1])["reason"] == "z"


def test_dead_letters_stay_within_their_bound_and_count_what_they_give_up(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    letters = DeadLetters(path, 20_000)
    for number in range(300):
        letters.append([Letter("x", b"y" * 100, str(number))], T)
    previous = path.with_name("dead.jsonl.1")
    assert path.stat().st_size + previous.stat().st_size <= 20_000
    lines = [line for file in (previous, path) for line in file.read_text().splitlines()]
    kept = [json.loads(line)["reason"] for line in lines]
    assert kept == [str(number) for number in range(300 - len(kept), 300)]
    assert letters.given_up == 300 - len(kept)


def test_dead_letters_on_a_path_that_cannot_be_written_say_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="dead letters"):
        DeadLetters(tmp_path / "file" / "dead.jsonl", 1000).check()
