"""The page's server: who gets in, what it answers, and what it makes of bad files."""

import csv
import io
import itertools
import json
import re
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from packtap.cli import main
from packtap.config import WebConfig
from packtap.errors import ConfigError
from packtap.store import Draft, Store
from packtap.web import make_app
from packtap.web.export import COLUMNS
from packtap.web.guard import COOKIE, SESSION_S, Guard, read_token
from web_data import (
    DAY_MS,
    HOSTILE,
    PACK,
    event_draft,
    fill,
    now_document,
    raised,
    readings_of_days,
    write_now,
)

TOKEN = "0123456789abcdef0123456789abcdef"
END = 1_790_000_000_000
KEY: dict[str, Any] = {"agent": "pi", "bus": "a", "pack": PACK}
API = (
    "/api/packs", "/api/pack", "/api/history", "/api/events", "/api/readings.csv", "/api/stream",
    "/api/report", "/api/flights", "/api/flight",
)  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> WebConfig:
    return WebConfig(
        stores=(tmp_path / "packtap.db",), now_files=(tmp_path / "now.json",), hosts=("pi.example",)
    )


@pytest.fixture
def store(config: WebConfig) -> Path:
    fill(config.stores[0], readings_of_days(END, 2, 0.1))
    return config.stores[0]


def client_of(
    config: WebConfig, token: str | None = None, stopping: Callable[[], bool] = lambda: True
) -> TestClient:
    return TestClient(make_app(config, token, stopping), base_url="http://127.0.0.1:8090")


@pytest.fixture
def client(config: WebConfig) -> TestClient:
    return client_of(config)


def write(config: WebConfig, **changes: Any) -> None:
    write_now(config.now_files[0], now_document(**changes))


def stream(config: WebConfig, polls: int = 1, **query: str) -> list[tuple[str, Any]]:
    """The events of a stream that ends after so many looks."""
    count = itertools.count(1)
    client = client_of(config, stopping=lambda: next(count) > polls)
    text = client.get("/api/stream", params=query).text
    found = re.findall(r"event: (\w+)\ndata: (.*)\n\n", text)
    return [(name, json.loads(data)) for name, data in found]


# --- who gets in ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/nothing", "/static/x/y.js", *API])
@pytest.mark.parametrize("token", [None, TOKEN], ids=["open", "with a token"])
def test_every_answer_carries_the_strict_headers(
    config: WebConfig, path: str, token: str | None
) -> None:
    headers = client_of(config, token).get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-cache" if path == "/" else "no-store")
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("path", ["/", *API, "/api/session"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_nothing_but_get_and_head_is_answered(client: TestClient, path: str, method: str) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


def test_head_is_answered_without_a_body(client: TestClient) -> None:
    answer = client.head("/")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8090", "localhost", "LOCALHOST:8090", "[::1]:8090", "192.0.2.7", "pi.example:80"],
)
def test_own_names_and_addresses_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/api/packs", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "", "pi.example.evil:80", "[::1", "localhost.evil"],
)
def test_a_foreign_name_that_resolves_to_us_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/api/packs", headers={"host": host})
    assert answer.status_code == 400
    assert "hosts" in answer.json()["error"]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_may_not_ask(client: TestClient, site: str) -> None:
    assert client.get("/api/packs", headers={"sec-fetch-site": site}).status_code == 403


@pytest.mark.parametrize("path", API)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": b"Bearer \xff\xfe"},
        {"cookie": f"{COOKIE}={TOKEN}"},
        {"cookie": f"{COOKIE}=99999999999.0000"},
        {"cookie": f"{COOKIE}="},
        {"cookie": f"other={TOKEN}"},
    ],
)
def test_without_the_token_there_is_no_data(
    config: WebConfig, path: str, headers: dict[str, Any]
) -> None:
    answer = client_of(config, TOKEN).get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.json() == {"error": "A token is needed."}
    assert answer.headers["www-authenticate"] == "Bearer"


def test_the_page_itself_is_shown_to_everybody_and_holds_no_data(
    config: WebConfig, store: Path
) -> None:
    text = client_of(config, TOKEN).get("/").text
    assert "<script src=" in text
    assert PACK not in text


def test_a_token_lets_in_and_is_traded_for_a_cookie_that_no_script_can_read(
    config: WebConfig,
) -> None:
    client = client_of(config, TOKEN)
    assert client.get("/api/session").status_code == 401
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert client.get("/api/packs", headers=bearer).status_code == 200
    answer = client.get("/api/session", headers=bearer)
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert TOKEN not in cookie
    assert client.get("/api/packs").status_code == 200
    assert client.get("/api/session").status_code == 200


@pytest.mark.parametrize("change", ["expiry", "mark", "token", "time"])
def test_a_cookie_holds_for_its_time_and_its_token_only(config: WebConfig, change: str) -> None:
    async def nothing(*_: Any) -> None:
        raise AssertionError("nobody is let in")

    moment = 1_000_000.0
    first = TestClient(Guard(nothing, TOKEN, {"testserver"}, lambda: moment))
    cookie = first.get("/api/session", headers={"authorization": f"Bearer {TOKEN}"}).headers[
        "set-cookie"
    ]
    expiry, _, mark = cookie.partition("=")[2].partition(";")[0].partition(".")
    assert int(expiry) == moment + SESSION_S
    token, later = TOKEN, moment
    if change == "expiry":
        expiry = str(int(expiry) + 1)
    elif change == "mark":
        mark = mark[:-1] + ("0" if mark[-1] != "0" else "1")
    elif change == "token":
        token = "f" * 32
    else:
        later += SESSION_S + 1
    second = TestClient(Guard(nothing, token, {"testserver"}, lambda: later))
    answer = second.get("/api/packs", headers={"cookie": f"{COOKIE}={expiry}.{mark}"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (TOKEN, 0o644, "chmod 600"),
        (TOKEN, 0o640, "chmod 600"),
        ("short", 0o600, "16 or more"),
        ("with spaces in its middle", 0o600, "without spaces"),
        ("ü" * 20, 0o600, "ASCII"),
        ("", 0o600, "one line"),
        (f"{TOKEN}\n{TOKEN}", 0o600, "one line"),
    ],
)
def test_a_token_that_others_may_read_or_guess_is_refused(
    tmp_path: Path, content: str, mode: int, words: str
) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(ConfigError, match=words):
        read_token(file)


def test_a_good_token_is_read(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    assert read_token(file) == TOKEN
    file.chmod(0o440)  # systemd's credentials have modes of their own
    assert read_token(file, credentials=tmp_path) == TOKEN


# --- files of the page ----------------------------------------------------------------------------


def test_nothing_in_the_page_comes_from_elsewhere(client: TestClient) -> None:
    page = client.get("/").text
    assert re.findall(r"(?:src|href)=\"(?!static/|#)([^\"]*)\"", page) == []
    folder = Path(__file__).parents[2] / "agent/packtap/web/static"
    for file in folder.rglob("*"):
        if file.suffix in (".js", ".css", ".html", ".svg") and "vendor" not in file.parts:
            text = file.read_text().replace("http://www.w3.org/2000/svg", "")
            assert "://" not in text, file
            assert "innerHTML" not in text, file
            assert not re.search(r"\sstyle=|\son\w+=\"", text), file


def test_files_are_kept_for_ever_under_the_name_of_their_content(client: TestClient) -> None:
    (script,) = re.findall(r'src="(static/[^"]*main\.js)"', client.get("/").text)
    answer = client.get(f"/{script}")
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "immutable" in answer.headers["cache-control"]
    assert client.get(f"/static/other/{script.rpartition('/')[2]}").status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "../guard.py",
        "..%2fguard.py",
        "%2e%2e/%2e%2e/guard.py",
        "..\\guard.py",
        "/etc/passwd",
        "vendor/../../guard.py",
        "main.js%00.css",
        "",
        ".",
        "vendor",
    ],
)
def test_no_path_leads_out_of_the_folder(client: TestClient, name: str) -> None:
    (version,) = re.findall(r"static/(\w+)/main\.js", client.get("/").text)
    answer = client.get(f"/static/{version}/{name}")
    assert answer.status_code == 404
    assert "import" not in answer.text


def test_vendored_files_are_those_that_their_list_names() -> None:
    from hashlib import sha256

    folder = Path(__file__).parents[2] / "agent/packtap/web/static/vendor"
    text = (folder / "VENDORED.md").read_text()
    listed = {name: digest for digest, name in re.findall(r"([0-9a-f]{64})  (uPlot\S+)", text)}
    assert listed == {
        file.name: sha256(file.read_bytes()).hexdigest() for file in folder.glob("uPlot*")
    }


# --- what it answers ------------------------------------------------------------------------------


def test_a_live_pack_is_told_with_ages_and_deviations(config: WebConfig) -> None:
    write(config, events=[raised(), raised(id="x", severity="critical", cell=None, text="Bad.")])
    pack = client_of(config).get("/api/pack", params=KEY).json()
    assert pack["state"] == "live"
    assert pack["values"]["voltage_v"]["v"] == 36.55
    assert 0.4 <= pack["values"]["voltage_v"]["age_s"] < 30
    assert "serial" in pack["identity"]
    assert pack["current"]["text"] == "discharging"
    cells = pack["cells"]
    assert (cells["median_mv"], cells["spread_mv"]) == (3651.0, 155)
    assert [row["dev_mv"] for row in cells["rows"]] == [-1, 4, None, -151, 1]
    assert [row["mv"] for row in cells["rows"]][2] is None
    assert cells["rows"][3]["severity"] == "warning"
    assert cells["rows"][1]["marks"] == ["balancing"]
    assert [event["severity"] for event in pack["events"]] == ["critical", "warning"]
    assert "Never open a pack" in pack["safety"]
    assert pack["link"]["rejects"] == 1
    assert pack["link"]["waiting"] == 3
    assert pack["link"]["buffer_hours_left"] == 900.0
    assert pack["diagnosis"] is None
    assert pack["history"] is None


@pytest.mark.parametrize(
    ("amps", "words"),
    [(0.1, "at rest"), (-0.29, "at rest"), (-1.7, "charging"), (9, "discharging")],
)
def test_the_current_is_said_in_words(config: WebConfig, amps: float, words: str) -> None:
    write(config, values={"current_a": amps}, ages_s={})
    pack = client_of(config).get("/api/pack", params=KEY).json()
    assert pack["current"] == {"v": amps, "age_s": None, "text": words}
    assert pack["cells"] is None


def test_a_pack_without_events_has_no_safety_notice(config: WebConfig) -> None:
    write(config)
    pack = client_of(config).get("/api/pack", params=KEY).json()
    assert (pack["worst"], pack["safety"], pack["events"]) == ("", "", [])


def test_a_diagnosis_is_told_in_sentences(config: WebConfig) -> None:
    told = {
        "diagnosis": [
            {
                "cause": "cell_damage",
                "probability": 0.8,
                "defect": "weak_cell",
                "evidence_for": ["cell_imbalance", "sign"],
                "evidence_against": ["no dead_cell"],
            }
        ],
        "cannot_judge": ["weak_cell", "capacity_fade"],
        "next_test": {"action": "Charge it.", "counts_if": "it warms"},
        "evidence": {"cell_imbalance": "Cell 7 is low"},
        "lacks": {"weak_cell": "ride"},
        "danger": ["Keep away."],
    }
    write(config, diagnosis=told)
    diagnosis = client_of(config).get("/api/pack", params=KEY).json()["diagnosis"]
    assert diagnosis["causes"][0]["words"] == "cells"
    assert diagnosis["causes"][0]["evidence_for"] == ["Cell 7 is low", "sign"]
    assert diagnosis["cannot_judge"] == ["weak cell: ride", "capacity fade"]
    assert diagnosis["next_test"] == {"action": "Charge it.", "counts_if": "it warms"}
    assert diagnosis["danger"] == ["Keep away."]


def test_health_is_told_with_units_and_unknown_stays_unknown(config: WebConfig) -> None:
    rows = {
        "cell_resistance_mohm": [35.25, None, 61.0],
        "capacity_estimate_mah": 9000.0,
        "time_to_limit_h": None,
        "outlook": "no trend",
        "no_such_row": 7,
    }
    write(config, health=rows)
    health = client_of(config).get("/api/pack", params=KEY).json()["health"]
    assert health["columns"] == ["resistance, mOhm"]
    assert health["cells"] == [["1", "35.25"], ["2", "not known"], ["3", "61"]]
    told = {row["name"]: row["text"] for row in health["rows"]}
    assert told == {"capacity estimate": "9000 mAh", "outlook": "no trend"}


@pytest.mark.parametrize("told", [[], "x", {}, None, {"cell_resistance_mohm": 3, "outlook": ""}])
def test_health_in_another_form_is_not_shown(config: WebConfig, told: object) -> None:
    write(config, health=told)
    assert client_of(config).get("/api/pack", params=KEY).json()["health"] is None


def test_a_stored_pack_is_told_with_its_last_health_and_causes(
    config: WebConfig, store: Path
) -> None:
    said = Draft(
        kind="health",
        site="depot",
        agent="pi",
        bus="a",
        pack=PACK,
        boot="boot",
        utc_offset_ms=0,
        times_ms=(END,),
        body={"rows": {"outlook": "fine"}, "causes": {"none": 0.9, "moisture": 0.1}},
    )
    with Store.open(store) as opened:
        opened.commit([said])
    pack = client_of(config).get("/api/pack", params=KEY).json()
    assert pack["health"]["rows"][0]["text"] == "fine"
    words = [cause["words"] for cause in pack["diagnosis"]["causes"]]
    assert words == ["no defect in the pack", "moisture"]


@pytest.mark.parametrize(
    "told",
    [[], "x", {}, {"diagnosis": {}}, {"diagnosis": [1]}, {"diagnosis": [{"probability": "1"}]}],
)
def test_a_diagnosis_in_another_form_is_not_known_yet(config: WebConfig, told: object) -> None:
    write(config, diagnosis=told)
    answer = client_of(config).get("/api/pack", params=KEY)
    assert answer.json()["diagnosis"] is None


def test_a_stopped_agent_leaves_its_store_and_old_values_say_so(
    config: WebConfig, store: Path
) -> None:
    pack = client_of(config).get("/api/pack", params=KEY).json()
    assert pack["state"] == "stored"
    assert pack["values"]["voltage_v"]["age_s"] > 0
    assert pack["link"] is None
    assert pack["history"]["readings"] == 2 * 6 * 60


def test_a_hanging_agent_does_not_pass_for_the_present(config: WebConfig, store: Path) -> None:
    document = now_document(events=[raised()])
    document["boot_s"] -= 500
    write_now(config.now_files[0], document)
    pack = client_of(config).get("/api/pack", params=KEY).json()
    assert pack["state"] == "stored"
    assert "it was killed, or hangs" in pack["state_text"]
    store.unlink()
    pack = client_of(config).get("/api/pack", params=KEY).json()
    assert pack["state"] == "silent"
    assert pack["values"]["voltage_v"]["age_s"] >= 500


def test_what_was_written_before_a_restart_of_the_machine_is_not_live(config: WebConfig) -> None:
    write(config, boot="another")
    pack = client_of(config).get("/api/pack", params=KEY).json()
    assert pack["state"] == "silent"
    assert "started anew" in pack["state_text"]


def test_a_history_has_as_many_points_as_asked_for(client: TestClient, store: Path) -> None:
    query = {**KEY, "from": END - 3 * DAY_MS, "to": END, "points": 100}
    answer = client.get("/api/history", params=query)
    plot = answer.json()
    assert 0 < len(plot["t"]) <= 100
    assert {"01", "10", "voltage_v", "cell_spread_mv"} <= set(plot["channels"])
    assert all(len(line) == len(plot["t"]) for line in plot["channels"]["07"])
    assert answer.headers["server-timing"].startswith("history;dur=")


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"from": "1"},
        {"from": "2", "to": "1"},
        {"from": "0", "to": "0"},
        {"from": "x", "to": "1"},
        {"from": "1", "to": "1e9"},
        {"from": "1", "to": "9" * 40},
        {"from": "-9007199254740992", "to": "9007199254740992"},
        {"from": "1", "to": "100", "points": "1"},
        {"from": "1", "to": "100", "points": "1000000"},
        {"from": "1", "to": "100", "points": ""},
    ],
)
def test_a_wrong_range_is_refused_in_words(
    client: TestClient, store: Path, query: dict[str, str]
) -> None:
    answer = client.get("/api/history", params={**KEY, **query})
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")


def test_events_come_latest_first_and_in_pages(client: TestClient, store: Path) -> None:
    with Store.open(store) as opened:
        opened.commit([event_draft(n, t_ms=END + n) for n in range(1, 6)])
        opened.commit([event_draft(2, t_ms=END + 9, state="cleared")])
    found = client.get("/api/events", params={**KEY, "limit": 3}).json()["events"]
    assert [event["id"][-1] for event in found] == ["5", "4", "3"]
    rest = client.get("/api/events", params={**KEY, "before": found[-1]["n"]}).json()["events"]
    assert [(event["id"][-1], event["is_open"]) for event in rest] == [("2", False), ("1", True)]


def test_csv_holds_every_reading_once_in_order(config: WebConfig, store: Path) -> None:
    client = client_of(config, stopping=lambda: False)
    answer = client.get("/api/readings.csv", params=KEY)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="packtap-{PACK}.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 2 * 6 * 60
    assert tuple(rows[0]) == COLUMNS
    times = [int(row["t_ms"]) for row in rows]
    assert times == sorted(set(times))
    assert rows[0]["time_utc"].endswith("Z")
    assert rows[0]["cell_1_mv"].isdigit()
    assert rows[0]["cell_11_mv"] == ""
    part = {**KEY, "from": times[10], "to": times[20]}
    some = list(csv.DictReader(io.StringIO(client.get("/api/readings.csv", params=part).text)))
    assert [int(row["t_ms"]) for row in some] == times[10:20]


def test_a_pack_cannot_write_a_formula_into_a_spreadsheet(config: WebConfig) -> None:
    pack = '=HYPERLINK("x")'
    fill(config.stores[0], readings_of_days(END, 1, 0.02, pack=pack))
    answer = client_of(config).get("/api/readings.csv", params={**KEY, "pack": pack})
    row = next(csv.DictReader(io.StringIO(answer.text)))
    assert row["pack"] == f"'{pack}"
    assert answer.headers["content-disposition"].endswith('"packtap-_HYPERLINK__x__.csv"')


# --- all packs ------------------------------------------------------------------------------------


def fleet(path: Path) -> None:
    for seed, pack in enumerate(("CALM", "WARNED", "BURNING", "SPREAD")):
        fill(path, readings_of_days(END, 1, 0.02, pack=pack, seed=seed))
    with Store.open(path) as store:
        spread = next(readings_of_days(END + DAY_MS, 1, 0.02, pack="SPREAD"))
        spread.body["columns"]["cell_voltages_mv"][-1][3] = 3000
        store.commit(
            [
                spread,
                event_draft(1, t_ms=END, pack="BURNING"),
                event_draft(2, t_ms=END, pack="WARNED", severity="warning", id="w", text="Look."),
            ]
        )


def test_packs_are_listed_worst_first(config: WebConfig) -> None:
    fleet(config.stores[0])
    found = client_of(config).get("/api/packs").json()
    assert [pack["pack"] for pack in found["packs"]] == ["BURNING", "WARNED", "SPREAD", "CALM"]
    assert found["packs"][0]["worst"] == "Cell 7 is at 2700 mV, below 2800 mV."
    assert found["packs"][2]["spread_mv"] > 900
    assert (found["total"], found["matching"]) == (4, 4)


@pytest.mark.parametrize(
    ("query", "names"), [("burn", ["BURNING"]), ("PI a", ["BURNING", "WARNED", "SPREAD", "CALM"])]
)
def test_packs_are_found_by_part_of_a_name(config: WebConfig, query: str, names: list[str]) -> None:
    fleet(config.stores[0])
    found = client_of(config).get("/api/packs", params={"q": query}).json()
    assert [pack["pack"] for pack in found["packs"]] == names
    assert found["total"] == 4


def test_a_live_agent_takes_the_place_of_what_its_store_says(
    config: WebConfig, store: Path
) -> None:
    write(config, events=[raised(severity="critical")])
    (pack,) = client_of(config).get("/api/packs").json()["packs"]
    assert (pack["state"], pack["critical"], pack["spread_mv"]) == ("live", 1, 155)


def test_the_placeholder_of_a_pack_that_is_known_by_now_is_left_out(config: WebConfig) -> None:
    fill(config.stores[0], readings_of_days(END, 1, 0.02, pack="unknown-pi-a"))
    client = client_of(config)
    assert [p["pack"] for p in client.get("/api/packs").json()["packs"]] == ["unknown-pi-a"]
    write(config)
    assert [p["pack"] for p in client.get("/api/packs").json()["packs"]] == [PACK]
    old = client.get("/api/pack", params={**KEY, "pack": "unknown-pi-a"}).json()
    assert old["moved_to"] == PACK


def test_stores_and_now_files_are_found_by_pattern(tmp_path: Path) -> None:
    for bus in ("one", "two"):
        (tmp_path / bus).mkdir()
        fill(tmp_path / bus / "packtap.db", readings_of_days(END, 1, 0.02, pack=bus.upper()))
    config = WebConfig(stores=(tmp_path / "*/packtap.db",), now_files=(tmp_path / "*.json",))
    found = client_of(config).get("/api/packs").json()
    assert {pack["pack"] for pack in found["packs"]} == {"ONE", "TWO"}


# --- bad files and hostile content ----------------------------------------------------------------


BAD_NOW_FILES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "cut off": lambda: b"{",
    "a list": lambda: b"[]",
    "null": lambda: b"null",
    "of a newer version": lambda: b'{"v": 99}',
    "without its keys": lambda: b'{"v": 1}',
    "bytes": lambda: b"\xff\xfe",
    "nested too deeply": lambda: b"[" * 100_000,
    "a bad event": lambda: json.dumps(now_document(events=[{"id": 1}])).encode(),
    "a bad counter": lambda: json.dumps(now_document(counters={"frames": "x"})).encode(),
    "a bad value": lambda: json.dumps(now_document(values={"voltage_v": "x"})).encode(),
    "huge": lambda: b" " * 5_000_000,
}


@pytest.mark.parametrize("content", BAD_NOW_FILES.values(), ids=BAD_NOW_FILES.keys())
def test_a_now_file_that_is_none_is_a_line_on_the_page(
    config: WebConfig, store: Path, content: Callable[[], bytes]
) -> None:
    config.now_files[0].write_bytes(content())
    client = client_of(config)
    found = client.get("/api/packs").json()
    assert len(found["packs"]) == 1
    (problem,) = found["problems"]
    assert "now.json" in problem
    assert client.get("/api/pack", params=KEY).json()["problems"] == [problem]


def test_a_number_that_is_none_is_not_reported(config: WebConfig) -> None:
    text = json.dumps(now_document(counters={"frames": 1, "readings": 1, "unanswered": 1, "x": 7}))
    config.now_files[0].write_text(text.replace('"x": 7', '"x": NaN'))
    pack = client_of(config).get("/api/pack", params=KEY).json()
    assert pack["link"]["counters"]["x"] is None


def test_a_missing_store_is_said_and_nothing_else_fails(config: WebConfig) -> None:
    client = client_of(config)
    found = client.get("/api/packs").json()
    assert found["packs"] == []
    assert "no such store" in found["problems"][0]
    for path in ("/api/pack", "/api/events", "/api/readings.csv"):
        answer = client.get(path, params=KEY)
        assert answer.status_code == 404
        assert "no such store" in answer.json()["error"]


@pytest.mark.parametrize("damage", ["newer", "older", "foreign", "garbage", "empty"])
def test_a_store_that_cannot_be_read_is_said(config: WebConfig, store: Path, damage: str) -> None:
    if damage in ("newer", "older"):
        with sqlite3.connect(store) as conn:
            conn.execute(f"PRAGMA user_version = {99 if damage == 'newer' else 1}")
        conn.close()
    elif damage == "foreign":
        store.unlink()
        with sqlite3.connect(store) as conn:
            conn.execute("CREATE TABLE t (x)")
        conn.close()
    else:
        for suffix in ("-wal", "-shm"):
            store.with_name(store.name + suffix).unlink(missing_ok=True)
        store.write_bytes(b"\0garbage" * 5000 if damage == "garbage" else b"")
    before = store.read_bytes()
    found = client_of(config).get("/api/packs").json()
    assert found["packs"] == []
    assert len(found["problems"]) == 1
    assert str(store) in found["problems"][0]
    assert store.read_bytes() == before


def test_hostile_names_are_data_and_nothing_else(config: WebConfig) -> None:
    fill(config.stores[0], readings_of_days(END, 1, 0.02, pack=HOSTILE))
    with Store.open(config.stores[0]) as store:
        store.commit([event_draft(1, t_ms=END, pack=HOSTILE, text=HOSTILE, kind=HOSTILE)])
    client = client_of(config)
    answer = client.get("/api/packs")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["packs"][0]["pack"] == HOSTILE
    key = {**KEY, "pack": HOSTILE}
    assert client.get("/api/pack", params=key).json()["events"][0]["text"] == HOSTILE
    assert client.get("/api/events", params=key).json()["events"][0]["kind"] == HOSTILE
    name = client.get("/api/readings.csv", params=key).headers["content-disposition"]
    assert re.fullmatch(r'attachment; filename="packtap-[\w-]+\.csv"', name)


@pytest.mark.parametrize("name", ["../../etc/passwd", "' OR 1=1 --", "%", "\0", "x" * 5000])
def test_a_name_that_nobody_has_is_not_found(client: TestClient, store: Path, name: str) -> None:
    for path in ("/api/pack", "/api/events", "/api/readings.csv"):
        answer = client.get(path, params={**KEY, "pack": name})
        assert answer.status_code == 404


# --- the stream -----------------------------------------------------------------------------------


def test_the_stream_tells_a_pack_at_once(config: WebConfig) -> None:
    write(config)
    ((name, pack),) = stream(config, **KEY)
    assert (name, pack["pack"], pack["state"]) == ("pack", PACK, "live")


def test_the_stream_says_nothing_twice(config: WebConfig, store: Path) -> None:
    assert len(stream(config, polls=3, **KEY)) == 1


def test_the_stream_tells_what_is_wrong_and_goes_on(config: WebConfig) -> None:
    ((name, told),) = stream(config, polls=2, **KEY)
    assert name == "trouble"
    assert "no such store" in told["error"]


def test_the_stream_of_all_packs_is_sorted_and_searched(config: WebConfig) -> None:
    fleet(config.stores[0])
    ((name, told),) = stream(config, q="n")
    assert name == "packs"
    assert [pack["pack"] for pack in told["packs"]] == ["BURNING", "WARNED"]


def test_a_line_break_in_a_text_cannot_forge_an_event(config: WebConfig) -> None:
    write(config, events=[raised(text="x\n\nevent: trouble\ndata: {}\n\n")])
    ((name, pack),) = stream(config, **KEY)
    assert name == "pack"
    assert pack["events"][0]["text"].startswith("x\n\nevent")


# --- the command ----------------------------------------------------------------------------------


def test_the_command_refuses_to_let_others_in_without_a_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["web", "--store", str(tmp_path / "s.db"), "--bind", "0.0.0.0"]) == 2
    words = capsys.readouterr().err
    assert "token_file: missing" in words
    assert "chmod 600" in words


def test_the_command_refuses_a_token_that_others_may_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o644)
    assert main(["web", "--store", "s.db", "--token-file", str(token)]) == 2
    assert f"chmod 600 {token}" in capsys.readouterr().err


def test_the_command_says_that_its_port_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["web", "--store", str(tmp_path / "s.db"), "--port", str(port)]) == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--config", "/absent/web.toml"], "no such file"),
        (["--store", "s.db", "--bind", "pi"], "'pi' is not an IP address"),
        (["--store", "s.db", "--token-file", "/absent"], "cannot be read"),
    ],
)
def test_a_wrong_option_is_said_in_words(
    capsys: pytest.CaptureFixture[str], words: list[str], problem: str
) -> None:
    assert main(["web", *words]) == 2
    assert problem in capsys.readouterr().err
