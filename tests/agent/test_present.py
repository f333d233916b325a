"""What is so now: ages, unknowns, two packs, retained messages."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ninebot_bms import BMS2, Doubt
from ninebot_bms import Sharing as Guest
from packtap.analysis.open_events import OpenEvents
from packtap.certificates import read_certificate
from packtap.config import MqttConfig, TlsConfig
from packtap.host import HostFigures
from packtap.link import LinkDown, LinkUp
from packtap.points import FIELDS, points_of
from packtap.poller import ANOTHER_MASTER, Listening, Sharing, sharing_now
from packtap.present import Present, Surroundings, substance
from packtap.store import Outbox
from packtap.uplink import UplinkStats
from packtap.wire import LinkMessage, Topic
from presents import CONFIG, beside_another_master, document_of, event, present_of
from stories import HEALTHY, snapshot

STATUS = snapshot(98.0, status=0x0001, voltage_v=38.0, current_a=None, soc_pct=71)
UTC = 1_790_000_000_000
#: Counters that are there where a wire is shared.
OF_SHARING = {"share_asking", "share_asked", "share_held_back", "share_sent_late"}


class NoSender:
    """A link on which nothing is sent."""

    def send(self, data: bytes, not_after: float) -> bool:
        raise AssertionError("nothing is sent here")


def retained(present: Present, now: float = 100.0, offset_ms: int | None = UTC) -> dict[str, Any]:
    return {kind: json.loads(payload) for kind, payload in present.retained(now, offset_ms)}


def test_a_value_stands_with_its_age() -> None:
    old = replace(STATUS, times={**STATUS.times, "soc_pct": 40.0})
    document = document_of(present_of([("P1", old)]))
    assert document["values"] == {"status": 1, "voltage_v": 38.0, "soc_pct": 71}
    assert document["ages_s"] == {"status": 2.0, "voltage_v": 2.0, "soc_pct": 60.0}


def test_what_nobody_reported_is_absent_not_zero() -> None:
    document = document_of(present_of([("P1", STATUS)]))
    assert "current_a" not in document["values"]
    assert "cell_voltages_mv" not in document["values"]
    assert document["cell_count"] is None


def test_before_anything_was_read_the_document_says_so() -> None:
    document = document_of(present_of(lines=()))
    assert document["pack"] is None
    assert (document["values"], document["ages_s"], document["flags"]) == ({}, {}, [])
    assert [line["reason"] for line in document["lines"]] == ["not opened yet"] * 2
    assert list(present_of().retained(100.0, UTC)) == []


def test_the_time_of_day_is_unknown_until_the_clock_is() -> None:
    present = present_of([("P1", STATUS)])
    assert document_of(present)["t"] is None
    assert document_of(present, offset_ms=UTC)["t"] == UTC + 100_000
    assert retained(present, offset_ms=None)["state"]["t"] is None


def test_flags_and_doubts_are_named() -> None:
    doubt = Doubt("clone-constants", ("cell_voltages_mv",), "all cells are identical")
    doubted = replace(snapshot(98.0, status=0x0101, cell_voltages_mv=HEALTHY), doubts=(doubt,))
    document = document_of(present_of([("P1", doubted)]))
    assert len(document["flags"]) == 2
    assert document["doubts"] == [{"name": "clone-constants", "text": "all cells are identical"}]


def test_a_raised_event_says_since_when_it_is_known() -> None:
    events = [event(t=90.0), event("bms_fault_flag", cell=None, t=None)]
    document = document_of(present_of([("P1", STATUS)], events))
    assert [(e["kind"], e["cell"], e["since_s"]) for e in document["events"]] == [
        ("cell_undervoltage", 7, 10.0),
        ("bms_fault_flag", None, None),
    ]


def test_a_line_that_is_lost_says_why_until_it_is_back() -> None:
    present = present_of(lines=(LinkUp("esc", 1.0, "p"), LinkDown("bms", 2.0, "unplugged")))
    assert [(line["is_up"], line["reason"]) for line in document_of(present)["lines"]] == [
        (True, ""),
        (False, "unplugged"),
    ]
    present.line_changed(LinkUp("bms", 3.0, "p"))
    assert [line["reason"] for line in document_of(present)["lines"]] == ["", ""]


def test_the_document_is_json_without_surprises() -> None:
    document = document_of(present_of([("P1", STATUS)], [event()]), store_trouble="full")
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_the_pack_at_the_main_address_is_shown_whatever_came_last() -> None:
    second = replace(snapshot(99.0, voltage_v=41.0), address=BMS2)
    present = present_of([("P1", STATUS), ("P2", second)])
    assert document_of(present)["pack"] == "P1"
    alone = present_of([("P2", second)])
    assert document_of(alone)["pack"] == "P2"


def test_each_pack_is_retained_under_a_name_of_its_own_with_its_own_events() -> None:
    second = replace(snapshot(99.0, voltage_v=41.0), address=BMS2)
    mine, its = event(pack="P1"), event("bms_fault_flag", cell=None, pack="P2")
    messages = retained(present_of([("P1", STATUS), ("P2", second)], [mine, its]))
    assert set(messages) == {"state", "pack", "state/bms2", "pack/bms2"}
    assert (messages["state"]["pack"], messages["state"]["events"]) == ("P1", [mine.kind])
    assert (messages["state/bms2"]["pack"], messages["state/bms2"]["events"]) == ("P2", [its.kind])


def test_state_is_flat_and_identity_holds_what_the_pack_is() -> None:
    full = snapshot(
        98.0, serial="P1", firmware="1.1.5", design_capacity_mah=7800, voltage_v=38.0, soc_pct=71
    )
    messages = retained(present_of([("P1", replace(full, cell_count=10))]))
    assert messages["state"]["voltage_v"] == 38.0
    assert messages["state"]["age_s"] == 2.0
    assert not [name for name, value in messages["state"].items() if isinstance(value, dict)]
    assert messages["state"]["t"] == UTC + 100_000
    identity = {"serial": "P1", "firmware": "1.1.5", "design_capacity_mah": 7800, "cells": 10}
    assert identity.items() <= messages["pack"].items()
    assert not {"voltage_v", "soc_pct"} & set(messages["pack"])


def test_state_names_the_age_of_what_is_older_than_the_rest() -> None:
    old = replace(STATUS, times={**STATUS.times, "soc_pct": 40.0, "status": 97.5})
    state = retained(present_of([("P1", old)]))["state"]
    ages = {name: value for name, value in state.items() if name.endswith("age_s")}
    assert ages == {"age_s": 2.0, "soc_pct_age_s": 60.0}


def test_the_pack_message_says_which_pack_was_here_before() -> None:
    present = present_of([("P1", STATUS)])
    assert retained(present)["pack"]["pack_before"] is None
    payloads = dict(present.retained(100.0, UTC, {"P1": "P0"}.get))
    assert json.loads(payloads["pack"])["pack_before"] == "P0"


def test_what_is_known_of_the_pack_stands_in_the_document() -> None:
    known: dict[str, object] = {"diagnosis": None, "health": {"outlook": "no trend"}}
    document = document_of(present_of([("P1", STATUS)]), known=known)
    assert known.items() <= document.items()


def test_what_is_retained_changes_only_when_every_event_is_saved() -> None:
    present = present_of([("P1", STATUS)], [event()])
    second = event("bms_fault_flag", cell=None)
    both = OpenEvents("store", [event(), second])
    present.events_changed(both, [second])
    assert [(e["kind"], e["saved"]) for e in document_of(present)["events"]] == [
        ("cell_undervoltage", True),
        ("bms_fault_flag", False),
    ]
    assert retained(present)["state"]["events"] == ["cell_undervoltage"]
    present.events_changed(both)
    assert all(e["saved"] for e in document_of(present)["events"])
    assert retained(present)["state"]["events"] == ["cell_undervoltage", "bms_fault_flag"]


def test_a_topic_is_complained_about_once() -> None:
    present = present_of()
    assert [present.complain_once(topic) for topic in ("disk", "disk", "clock")] == [
        True,
        False,
        True,
    ]


def test_every_counter_that_is_sent_is_a_field_of_the_store() -> None:
    around = Surroundings(
        Listening(("bms",)),
        UplinkStats(),
        outbox=Outbox(count=3, bytes=900, oldest_ms=UTC + 40_000, undated=1, first_seq=7),
        host=HostFigures(disk_free_bytes=10**10, load_pct=40, temperature_c=51),
    )
    present = present_of()
    present.hours_left = 12.7
    present.certificate_until_ms = UTC + 100_400 - 1  # it has just ended
    sent = present.counters(100.4, UTC, around)
    assert (sent["outbox_first_seq"], sent["buffer_hours_left"]) == (7, 12)
    assert sent.keys() == FIELDS["link"].keys() - OF_SHARING
    assert sent["outbox_oldest_s"] == 60
    assert sent["certificate_hours_left"] == -1
    assert (sent["clock_known"], sent["uptime_s"]) == (1, 100)
    message = LinkMessage(
        agent="pi", bus="a", pack="P1", store="s", seq=1, boot="b", t=[UTC], counters={**sent}
    )
    converted = points_of(Topic("depot", "pi", "a", "link"), message)
    assert converted.unknown == frozenset()
    assert converted.points[0].fields == sent


def test_what_outbox_and_host_do_not_say_is_absent_not_zero() -> None:
    sent = present_of().counters(100.0, None, Surroundings(Listening(("bms",)), UplinkStats()))
    unknown = {
        "outbox_messages",
        "outbox_bytes",
        "outbox_undated",
        "outbox_first_seq",
        "outbox_oldest_s",
        "outbox_stranded",
        "buffer_hours_left",
        "disk_free_bytes",
        "host_load_pct",
        "host_temperature_c",
        "certificate_hours_left",
    }
    assert sent.keys() == FIELDS["link"].keys() - unknown - OF_SHARING
    assert sent["clock_known"] == 0


@pytest.mark.parametrize(
    ("oldest_ms", "offset_ms", "seconds"),
    [(None, None, 0), (UTC + 90_000, None, None), (UTC + 90_000, UTC, 10), (UTC + 200_000, UTC, 0)],
)
def test_the_age_of_the_outbox_is_told_as_far_as_it_is_known(
    oldest_ms: int | None, offset_ms: int | None, seconds: int | None
) -> None:
    outbox = Outbox(count=1, bytes=9, oldest_ms=oldest_ms, undated=0)
    around = Surroundings(Listening(("bms",)), UplinkStats(), outbox=outbox)
    assert present_of().counters(100.0, offset_ms, around).get("outbox_oldest_s") == seconds


@pytest.mark.parametrize(
    "name", ["readings_dropped", "gap_messages", "bytes_unread", "rejects_checksum"]
)
def test_counters_are_there_from_the_start(name: str) -> None:
    assert document_of(present_of())["counters"][name] == 0


def test_another_master_beside_a_bench_stands_in_the_document() -> None:
    assert document_of(present_of())["bus_trouble"] is None
    assert document_of(present_of(), bus=beside_another_master())["bus_trouble"] == ANOTHER_MASTER


def test_what_is_done_on_a_shared_wire_is_said_in_state_and_only_there() -> None:
    present = present_of([("P1", STATUS)])
    bus = Sharing(Guest(), NoSender())
    told = {
        kind: json.loads(payload)
        for kind, payload in present.retained(100.0, UTC, sharing=sharing_now(bus))
    }
    said = {"sharing": "listening", "sharing_collisions": 0, "sharing_backoffs": 0}
    assert said.items() <= told["state"].items()
    assert not said.keys() & told["pack"].keys()
    assert sharing_now(Listening(("dash",))) == {}
    assert not said.keys() & retained(present)["state"].keys()


def test_counters_of_a_shared_wire_are_told_and_only_there() -> None:
    counters = document_of(present_of(), bus=Sharing(Guest(), NoSender()))["counters"]
    assert {name: counters[name] for name in OF_SHARING} == dict.fromkeys(OF_SHARING, 0)
    assert not OF_SHARING & document_of(present_of())["counters"].keys()


def test_substance_of_a_retained_message_is_what_time_alone_does_not_change() -> None:
    first = substance(b'{"t":5,"soc_pct":50,"age_s":1.0,"soc_pct_age_s":9.5}')
    assert first == substance(b'{"t":6,"soc_pct":50,"age_s":3.0}')
    assert first != substance(b'{"t":6,"soc_pct":51,"age_s":3.0}')
    assert first != substance(b'{"t":null,"soc_pct":50,"age_s":3.0}')


def test_the_end_of_the_certificate_is_read_from_the_file_that_the_uplink_shows(
    tmp_path: Path,
) -> None:
    certificate, key = tmp_path / "pi.crt", tmp_path / "pi.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=pi"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    tls = TlsConfig(cert_file=certificate, key_file=key)
    config = replace(CONFIG, mqtt=MqttConfig(host="127.0.0.1", tls=tls))
    end_ms = round(read_certificate(certificate).not_after.timestamp() * 1000)
    around = Surroundings(Listening(("bms",)), UplinkStats())
    present = Present(config, "boot")
    assert present.counters(0.0, end_ms - 49 * 3_600_000, around)["certificate_hours_left"] == 49
    assert "certificate_hours_left" not in present.counters(0.0, None, around)
    certificate.write_text("no certificate")
    assert Present(config, "boot").certificate_until_ms is None
