"""What can be taken away from the page: reports and flight recordings, and nothing else."""

import gzip
import os
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from packtap.analysis.diagnosis import diagnose
from packtap.analysis.evidence import Evidence
from packtap.config import FlightConfig, WebConfig
from packtap.flight import FlightRecorder
from packtap.link import Received
from packtap.memory.pack_memory import PackMemory
from packtap.model import Event, EventState, Severity
from packtap.report.told import diagnosis_told
from packtap.store import KeptMemory, Store
from packtap.web import make_app
from packtap.web.flights import Flights, UnknownFlightError
from recorded import VECTORS
from web_data import (
    DAY_MS,
    HOSTILE,
    PACK,
    event_draft,
    fill,
    now_document,
    readings_of_days,
    write_now,
)

END = 1_790_000_000_000
KEY: dict[str, Any] = {"agent": "pi", "bus": "a", "pack": PACK}
CAPTURE = VECTORS / "recordings" / "m365_esc_bms.log.gz"


@pytest.fixture
def config(tmp_path: Path) -> WebConfig:
    folder = tmp_path / "bay-1"
    folder.mkdir()
    return WebConfig(stores=(folder / "packtap.db",), now_files=(tmp_path / "now.json",))


@pytest.fixture
def store(config: WebConfig) -> Path:
    fill(config.stores[0], readings_of_days(END, 2, 0.1))
    return config.stores[0]


@pytest.fixture
def client(config: WebConfig, store: Path) -> TestClient:
    return client_of(config)


def client_of(config: WebConfig) -> TestClient:
    return TestClient(make_app(config, None), base_url="http://127.0.0.1:8090")


def flown(store: Path, pack: str = PACK, offset_ms: int | None = END) -> Path:
    """Let the agent's own flight recorder write one recording beside a store."""
    recorder = FlightRecorder(FlightConfig(), store.parent / "flight")
    for t in range(5):
        recorder.take(Received("bms", float(t), bytes.fromhex("55aa0322013101a5ff")))
    critical = Event(
        f"{pack}/dead_cell/07/s/1", 4.0, pack, "dead_cell", Severity.CRITICAL, EventState.RAISED
    )
    recorder.events([critical], 4.0, offset_ms)
    recorder.close()
    assert recorder.latest is not None
    return recorder.latest


def report(client: TestClient, **more: str) -> str:
    answer = client.get("/api/report", params=KEY | more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    return answer.text


def found_dead() -> Evidence:
    evidence = Evidence()
    evidence.take([Event("i", 1.0, PACK, "dead_cell", Severity.CRITICAL, EventState.RAISED, 7)])
    evidence.judged |= {"moisture_suspected", "dead_cell"}
    return evidence


# The report of a store.


def test_the_report_says_what_the_running_agent_tells_and_that_it_does(
    config: WebConfig, client: TestClient
) -> None:
    told = diagnose(found_dead()).as_document()
    write_now(config.now_files[0], now_document(diagnosis=told))
    page = report(client)
    assert "The ranking is the one that the running agent tells now." in page
    assert "Damaged cells" in page.partition("</header>")[2][:1500]
    assert "none: made of a store, not of a recording" in page
    assert "720 in the store" in page
    assert "<td>3JDEA24M1D0815</td>" in page
    assert len(re.findall(r'<rect [^>]*class="bar', page)) == 4  # as the agent tells it now


def test_a_store_alone_tells_what_its_agent_remembered(client: TestClient, store: Path) -> None:
    memory = PackMemory(PACK, 0x22)
    memory.evidence = found_dead()
    memory.last_h = END / 3_600_000
    memory.identity.known |= {"firmware": "9.8.7", "cycle_count": 214, "cell_count": 10}
    with Store.open(store) as opened:
        opened.commit([], [KeptMemory(PACK, 0x22, memory.as_document())])
    page = report(client)
    assert "rests on what the agent remembered of this pack, saved 2026-09-21 14:13 UTC" in page
    assert "9.8.7" in page
    assert "214" in page.partition("Cycles")[2][:40]
    assert "moisture suspected" in page.partition("Judged, and found to be fine")[2]


def test_the_store_of_a_fleet_tells_from_events_and_says_what_it_does_not_know(
    client: TestClient, store: Path
) -> None:
    with Store.open(store) as opened:
        opened.commit([event_draft(1, t_ms=END - DAY_MS)])
    page = report(client)
    assert "rests on the stored events alone" in page
    assert "Cell 7 is at 2700 mV, below 2800 mV." in page
    assert 'id="stop"' in page


def test_without_events_and_memory_there_is_no_report_and_the_reason_is_said(
    client: TestClient,
) -> None:
    answer = client.get("/api/report", params=KEY)
    assert answer.status_code == 404
    assert "Ask the page beside it" in answer.json()["error"]


def test_courses_of_the_report_are_those_of_the_store(client: TestClient, store: Path) -> None:
    with Store.open(store) as opened:
        opened.commit([event_draft(1, t_ms=END - DAY_MS)])
    page = report(client)
    assert len(re.findall(r'<rect [^>]*class="bar', page)) == 10
    assert len(re.findall(r'class="course', page)) >= 10
    assert "days since the first reading" in page or "hours since the first reading" in page


def test_an_event_that_was_over_two_months_ago_forbids_nothing_today(
    client: TestClient, store: Path
) -> None:
    with Store.open(store) as opened:
        old = END - 60 * DAY_MS
        opened.commit([event_draft(1, t_ms=old)])
        opened.commit([event_draft(1, t_ms=old + 1000, state="cleared")])
        opened.commit([event_draft(2, t_ms=END - DAY_MS, kind="cell_imbalance", severity="info")])
    assert 'id="stop"' not in report(client)


def test_the_notice_of_the_page_stands_on_its_reports_too(config: WebConfig, store: Path) -> None:
    with Store.open(store) as opened:
        opened.commit([event_draft(1, t_ms=END)])
    client = client_of(WebConfig(stores=config.stores, now_files=(), notice="SIMULATED <b>"))
    assert '<p class="note">SIMULATED &lt;b&gt;</p>' in report(client)


def test_hostile_names_and_texts_are_text_in_the_report(config: WebConfig) -> None:
    fill(config.stores[0], readings_of_days(END, 1, 0.1, pack=HOSTILE))
    drafts = [
        event_draft(1, t_ms=END, pack=HOSTILE, text=HOSTILE, unit=HOSTILE),
        event_draft(2, t_ms=END, pack=HOSTILE, kind=HOSTILE, id="x"),
    ]
    with Store.open(config.stores[0]) as opened:
        opened.commit(drafts)
    write_now(config.now_files[0], now_document(pack=HOSTILE, diagnosis={"diagnosis": [HOSTILE]}))
    answer = client_of(config).get("/api/report", params=KEY | {"pack": HOSTILE})
    assert answer.status_code == 200
    assert "<img" not in answer.text
    assert "<script" not in answer.text
    assert re.search(r'filename="packtap-[A-Za-z0-9_-]+\.html"', str(answer.headers))


def test_a_diagnosis_comes_back_as_it_was_told_and_nonsense_does_not() -> None:
    told = diagnose(found_dead())
    back = diagnosis_told(told.as_document())
    assert back is not None
    assert back.as_document() == told.as_document()
    nonsense: object
    for nonsense in (None, 1, [], {}, {"diagnosis": []}, {"diagnosis": [1]}):
        assert diagnosis_told(nonsense) is None
    document = told.as_document()
    for cause in document["diagnosis"]:  # type: ignore[attr-defined]
        cause["probability"] = float("nan")
    assert diagnosis_told(document) is None


# Flight recordings.


def test_flight_recordings_are_listed_with_time_event_pack_and_size(
    client: TestClient, store: Path
) -> None:
    assert client.get("/api/flights", params=KEY).json() == {"flights": []}
    dated, undated = flown(store), flown(store, "unknown-pi-a", None)
    os.utime(undated, (1, 1))
    listed = client.get("/api/flights", params=KEY).json()["flights"]
    assert [item["name"] for item in listed] == [dated.name, undated.name]
    assert [item["t_ms"] for item in listed] == [END + 4000, None]
    assert [item["pack"] for item in listed] == [PACK, "unknown-pi-a"]
    assert listed[0]["kind"] == "dead_cell"
    assert listed[0]["size"] == dated.stat().st_size


def test_a_flight_recording_comes_as_it_stands_there(client: TestClient, store: Path) -> None:
    path = flown(store)
    answer = client.get("/api/flight", params=KEY | {"flight": path.name})
    assert answer.content == path.read_bytes()
    assert "content-encoding" not in answer.headers
    assert answer.headers["content-length"] == str(path.stat().st_size)
    assert answer.headers["content-disposition"] == f'attachment; filename="{path.name}"'
    assert b"55" in gzip.decompress(answer.content)
    head = client.head("/api/flight", params=KEY | {"flight": path.name})
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == answer.headers["content-length"]


def test_a_large_recording_is_streamed_and_one_that_grows_is_cut(
    client: TestClient, store: Path
) -> None:
    path = flown(store)
    path.write_bytes(os.urandom(3_000_000))
    flights = Flights(store)
    with flights.open(path.name) as (file, size), path.open("ab") as writer:
        writer.write(b"more")
        writer.flush()
        assert size == 3_000_000
        assert os.fstat(file.fileno()).st_size == 3_000_004
    answer = client.get("/api/flight", params=KEY | {"flight": path.name})
    assert answer.content == path.read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../packtap.db",
        "..%2fpacktap.db",
        "packtap.db",
        "/etc/passwd",
        "flight-1.0-x.log.gz/../../packtap.db",
        "./flight-1790000004.000-dead_cell.log.gz",
        "flight-1790000004.000-dead_cell.log.gz\x00",
        "flight-1790000004.000-dead_cell.log.gz\n",
        "flight-9.000-no_such.log.gz",
        "x" * 5000,
    ],
)
@pytest.mark.parametrize("route", ["/api/flight", "/api/report"])
def test_nothing_but_the_recordings_can_be_reached(
    client: TestClient, store: Path, route: str, name: str
) -> None:
    assert flown(store).name == "flight-1790000004.000-dead_cell.log.gz"
    answer = client.get(route, params=KEY | {"flight": name})
    if route == "/api/report" and not name:
        assert "events" in answer.json()["error"] or "event" in answer.json()["error"]
    assert answer.status_code == 404
    assert "error" in answer.json()


def test_links_pipes_and_folders_are_no_recordings(client: TestClient, store: Path) -> None:
    folder = flown(store).parent
    secret = store.parent / "secret"
    secret.write_text("secret")
    (folder / "flight-1.0-link.log.gz").symlink_to(secret)
    (folder / "flight-2.0-folder.log.gz").mkdir()
    os.mkfifo(folder / "flight-3.0-pipe.log.gz")
    (folder / "notes.txt").write_text("secret")
    (folder / "flight-<img src=x>.log.gz").write_text("x")
    listed = client.get("/api/flights", params=KEY).json()["flights"]
    assert [item["kind"] for item in listed] == ["dead_cell"]
    for name in [path.name for path in folder.iterdir()]:
        answer = client.get("/api/flight", params=KEY | {"flight": name})
        assert (answer.status_code == 200) is (name == listed[0]["name"])
        assert b"secret" not in answer.content


def test_a_link_that_takes_a_files_place_is_not_followed(store: Path) -> None:
    path = flown(store)
    flights = Flights(store)
    entry = next(iter(flights._entries()))
    path.unlink()
    path.symlink_to(store)
    with pytest.raises(OSError, match="symbolic link"):
        flights._pack_of(entry.name)  # as if it had been looked at before


def test_only_packs_that_a_store_knows_have_recordings(client: TestClient, store: Path) -> None:
    path = flown(store)
    for pack in ("nobody", "../bay-1", ""):
        query = KEY | {"pack": pack, "flight": path.name}
        assert client.get("/api/flight", params=query).status_code == 404


def test_a_recording_is_judged_as_diagnose_does(client: TestClient, store: Path) -> None:
    path = flown(store)
    path.write_bytes(CAPTURE.read_bytes())
    page = report(client, flight=path.name)
    assert "Pack 3JAGJ17A8D3660" in page
    assert "what the wires said around one critical event" in page
    assert path.name in page


def test_a_recording_without_a_pack_and_a_damaged_one_give_words(
    client: TestClient, store: Path
) -> None:
    path = flown(store)  # requests without a reply
    answer = client.get("/api/report", params=KEY | {"flight": path.name})
    assert (answer.status_code, "nothing to report" in answer.json()["error"]) == (404, True)
    path.write_bytes(b"\x1f\x8bnonsense")
    answer = client.get("/api/report", params=KEY | {"flight": path.name})
    assert answer.status_code in (404, 503)
    assert answer.json()["error"]
    path.write_bytes(bytes(8_000_001))
    answer = client.get("/api/report", params=KEY | {"flight": path.name})
    assert "too large" in answer.json()["error"]


def test_a_file_that_is_no_recording_names_no_pack(store: Path) -> None:
    path = flown(store)
    for content in (b"", b"nothing", gzip.compress(b"# another remark: X/y"), b"\x1f\x8b\x08"):
        path.write_bytes(content)
        assert [flight.pack for flight in Flights(store).all()] == [""]
    with pytest.raises(UnknownFlightError):
        Flights(store).path("flight-5.0-gone.log.gz")
