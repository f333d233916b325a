"""A hostile member of the fleet, strangers and a thief beside a sound device, over the whole chain.

The sound device is `packtap agent` on emulated wires; mosquitto runs the deployed files, every
certificate is made by `packtap fleet`, and what arrives is read from InfluxDB.
"""

import json
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from packtap.fleet.enrolment import Installed
from packtap.ingest.sinks import Why
from packtap.simulated.scooter import Plan
from packtap.simulated.wires import Wires
from system.chain import (
    AGENT,
    BUS,
    SITE,
    AgentProcess,
    IngestProcess,
    PackRows,
    adapters,
    committed,
    rows_of_packs,
    scooter,
    settled,
)
from system.fleet import Fleet, Member, fleet_broker, member
from system.process import running
from system.servers import InfluxDB, V2Shim, eventually

HOSTILE: Final = "pi-66"
STOLEN: Final = "pi-77"
PACKS: Final = 20
BURST: Final = 3000


def _mqtt(fleet: Fleet, files: Installed) -> str:
    return (
        f'[mqtt]\nhost = "localhost"\nport = {fleet.port}\n[mqtt.tls]\nca_file = "{files.ca}"\n'
        f'cert_file = "{files.certificate}"\nkey_file = "{files.key}"\n'
    )


@contextmanager
def _chain(
    folder: Path, fleet: Fleet, ports: str, url: str
) -> Iterator[tuple[AgentProcess, IngestProcess]]:
    """Run ingest with small bounds, and a sound agent."""
    ingest = IngestProcess(
        folder,
        f'{_mqtt(fleet, fleet.ingest_files)}[influx]\nurl = "{url}"\n'
        f'[dead_letter]\npath = "{folder}/dead-letter.jsonl"\n[batch]\nwait_s = 0.05\n'
        f"[per_agent]\nmessages_per_s = 5\nburst_messages = {BURST}\npacks_per_day = {PACKS}\n",
    )
    agent = AgentProcess(
        folder,
        f'site = "{SITE}"\nagent = "{AGENT}"\nbus = "{BUS}"\nclock = "trusted"\n'
        f'now_file = "{folder}/now.json"\n{ports}{_mqtt(fleet, fleet.devices[AGENT])}'
        f'[store]\npath = "{folder}/agent.db"\nflush_s = 1\n',
    )
    with running(ingest):
        eventually(lambda: ingest.stats().get("connected"), "ingest's subscription", 60)
        with running(agent):
            eventually(agent.listens, "the agent's lines", 60)
            yield agent, ingest


def _topic(kind: str = "readings", agent: str = HOSTILE) -> str:
    return f"packtap/v1/{SITE}/{agent}/{BUS}/{kind}"


def _readings(seq: int = 1, **changed: Any) -> bytes:
    body: dict[str, Any] = {
        "v": 1,
        "agent": HOSTILE,
        "bus": BUS,
        "pack": "3JAC9E1234C666",
        "store": "s",
        "seq": seq,
        "boot": "b",
        "t": [time.time_ns() // 1_000_000],
        "columns": {"soc_pct": [50]},
    }
    return json.dumps({**body, **changed}).encode()


def _event(kind: str) -> bytes:
    return _readings().replace(
        b'"columns": {"soc_pct": [50]}',
        b'"id": "x", "severity": "info", "state": "raised", "kind": "%s"' % kind.encode(),
    )


#: What a member sends under its own name -> why it is refused.
LIES: Final[tuple[tuple[str, bytes, Why], ...]] = (
    (_topic(), _readings(agent=AGENT), Why.SENDER),
    (_topic(), b"[" * 400_000, Why.FORM),
    (_topic(), b'{"v":1,"columns":' + b'{"a":' * 100_000, Why.FORM),
    (_topic(), _readings(columns={"voltage_v": [float("nan")]}), Why.FORM),
    (_topic(), _readings(columns={"voltage_v": [float("inf")]}), Why.FORM),
    (_topic(), _readings().replace(b"[50]", b"[1e999]"), Why.FORM),
    (_topic(), b" " * 3_000_000, Why.FORM),
    (_topic(), b"\xff\xfe", Why.FORM),
    (_topic(), zlib.compress(b" " * 50_000_000), Why.FORM),  # swells to fifty megabytes
    (_topic(), _readings(t=[253_402_300_799_000]), Why.TIME),  # 9999-12-31
    (_topic(), _readings(t=[1]), Why.TIME),  # 1970
    (_topic(), _readings(t=[-(2**63)]), Why.TIME),
    (_topic(), _readings(pack="x" * 257), Why.VALUE),
    (_topic(), _readings(pack="p\u00e4ck"), Why.VALUE),
    (_topic(), _readings(columns={"serial": ["x" * 257]}), Why.VALUE),
    (_topic(), _readings(columns={f"c{n}": [1] for n in range(300)}), Why.VALUE),
    (_topic("event"), _event("invented_by_me"), Why.KIND),
    (_topic("weather"), b"{}", Why.KIND),
    (_topic(), _readings(v=99), Why.KIND),
)


def _lie(hostile: Member) -> dict[str, int]:
    """Send everything that ingest must refuse; returns what it must count, but for the flood."""
    expected: dict[str, int] = {}
    for topic, payload, why in LIES:
        assert hostile.ask(topic, payload) == "Success"
        expected[why] = expected.get(why, 0) + 1
    for number in range(PACKS + 10):
        assert hostile.ask(_topic(), _readings(pack=f"INVENTED{number:03}")) == "Success"
    expected[Why.SERIES] = 10
    return expected


def _packs_of(influxdb: InfluxDB, agent: str) -> PackRows:
    rows: PackRows = {}
    known = {name for name, _ in _fields(influxdb)}
    for row in influxdb.rows(f"SELECT * FROM pack WHERE agent = '{agent}'"):
        key = (row["pack"], row["time"])
        assert key not in rows
        rows[key] = {
            name: value for name, value in row.items() if name in known and value is not None
        }
    return rows


def _fields(influxdb: InfluxDB) -> list[tuple[str, str]]:
    return [
        (row["fieldKey"], row["fieldType"]) for row in influxdb.rows("SHOW FIELD KEYS FROM pack")
    ]


def _assert_sound(influxdb: InfluxDB, agent: AgentProcess) -> None:
    """Fail unless every reading of the sound device is in the store as it was committed."""
    expected = rows_of_packs(committed(agent.store))
    assert len(expected) >= 40
    found = _packs_of(influxdb, AGENT)
    names = {name for row in expected.values() for name in row}
    alone = {
        key: kept
        for key, row in found.items()
        if (kept := {name: value for name, value in row.items() if name in names})
    }
    assert alone == expected


def _strangers(fleet: Fleet) -> None:
    """Fail unless those who may not come in do not, and a member stays within its own name."""
    with member(fleet, None, "nobody") as without:
        assert not without.is_in
    stolen = fleet.devices[STOLEN]
    with member(fleet, stolen, STOLEN) as thief:
        fleet.revoke(STOLEN)
        eventually(
            lambda: thief.ask(_topic("doctor", STOLEN), b"{}") == "Not authorized",
            "the reload",
            60,
        )
    with member(fleet, stolen, f"{STOLEN}-again") as thief:
        assert not thief.is_in
    with member(fleet, fleet.devices[HOSTILE], f"{HOSTILE}-x") as hostile:
        assert hostile.ask(_topic(agent=AGENT), _readings(agent=AGENT)) == "Not authorized"
    with member(fleet, fleet.devices[HOSTILE], f"{HOSTILE}-big") as hostile:
        assert hostile.ask(_topic(), b"x" * 10_000_000) == ""
        assert not hostile.is_in


def _said_by_broker(fleet: Fleet) -> Mapping[str, int]:
    log = fleet.log_text()
    return {
        words: log.count(words)
        for words in (
            "peer did not return a certificate",
            "certificate verify failed",
            f"Denied PUBLISH from {HOSTILE}-x ",
            f"Denied PUBLISH from {STOLEN} ",
            f"Client {HOSTILE}-big disconnected due to oversize packet",
        )
    }


def test_whatever_strangers_a_thief_and_a_member_do_is_refused_counted_seen_and_harms_nobody(
    tmp_path: Path, influxdb: InfluxDB, v2_shim: V2Shim
) -> None:
    flood = BURST + 2000
    with (
        fleet_broker(tmp_path, AGENT, HOSTILE, STOLEN) as fleet,
        adapters(tmp_path, "esc", "bms") as lines,
    ):
        ports = "".join(f'[lines.{name}]\nport = "{line.port}"\n' for name, line in lines.items())
        with _chain(tmp_path, fleet, ports, v2_shim.url) as (agent, ingest):
            with scooter(Wires(Plan(soc_pct=60.0, seed=5)), lines):
                _strangers(fleet)
                with member(fleet, fleet.devices[HOSTILE], HOSTILE) as hostile:
                    expected = _lie(hostile)
                    before = len(hostile.acks)
                    for seq in range(flood):
                        hostile.publish(_topic(), _readings(seq + 1, pack="INVENTED000"))
                    eventually(lambda: len(hostile.acks) == before + flood, "the flood", 120)
                eventually(
                    lambda: (
                        sum(ingest.stats().get("refused_by", {}).get(HOSTILE, {}).values())
                        >= len(LIES) + 10 + 1000
                    ),
                    "refusals",
                    120,
                )
                eventually(lambda: len(committed(agent.store)) >= 60, "readings", 120)
            settled(agent)
            sent = len(LIES) + PACKS + 10 + flood
            eventually(lambda: ingest.stats()["received"] >= sent, "all that was sent", 120)
            eventually(lambda: ingest.stats()["waiting"] == 0, "nothing in work", 60)
            assert ingest.terminate() == 0
        stats = ingest.stats()
        broker = _said_by_broker(fleet)
    _assert_sound(influxdb, agent)
    # Counted: by agent and reason, and nobody else was refused anything.
    assert set(stats["refused_by"]) == {HOSTILE}
    counted = stats["refused_by"][HOSTILE]
    assert {why: counted.get(why) for why in expected} == expected
    assert set(counted) == {*expected, Why.RATE}
    assert counted[Why.RATE] >= 1000
    assert stats["refused"] == sum(counted.values())
    # Seen: in the store, in the letters, in the log, and at the broker.
    noted = influxdb.rows(
        f"SELECT last(refused) FROM ingest WHERE agent = '{HOSTILE}' GROUP BY reason"
    )
    assert {row["reason"]: row["last"] for row in noted} == counted
    letters = [json.loads(line) for line in ingest.dead_letters.read_text().splitlines()]
    assert {letter["topic"].split("/")[3] for letter in letters} == {HOSTILE}
    assert len(letters) + stats["unkept"] == stats["refused"]
    assert f"refused a message on {_topic()}" in ingest.log.read_text()
    assert all(broker.values()), broker
    # And no tags beyond the bound.
    packs = influxdb.rows(f"SHOW TAG VALUES FROM pack WITH KEY = pack WHERE agent = '{HOSTILE}'")
    assert len(packs) == PACKS
