"""The configuration: every mistake at once, each with its key path and what is allowed."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field, fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ordinary_user import ordinary_user
from packtap.analysis.configured import configured
from packtap.analysis.imbalance import ImbalanceLimits
from packtap.analysis.limits import CellLimits
from packtap.cli import main
from packtap.config import (
    AgentConfig,
    IngestConfig,
    Kind,
    LineConfig,
    MqttConfig,
    PackConfig,
    SqliteConfig,
    StoreConfig,
    TlsConfig,
    example_agent,
    example_ingest,
    example_web,
    inspect_file,
    load_agent,
    load_ingest,
    load_web,
    read_secret,
)
from packtap.config.keys import about
from packtap.config.structure import Places, structure
from packtap.errors import ConfigError

GOLDEN = Path(__file__).parent.parent / "golden"

GOOD = """
site = "workshop"
agent = "pi-01"
bus = "bay-1"

[lines.bms]
port = "/dev/ttyUSB0"

[mqtt]
host = "broker"
"""

GOOD_INGEST = """
[mqtt]
host = "broker"

[sqlite]
path = "packtap.db"
"""


@pytest.fixture(autouse=True)
def outside_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    private(tmp_path / "secret", "x")
    return tmp_path / "agent-bay-1.toml"


def load(file: Path, text: str) -> AgentConfig:
    file.write_text(text, encoding="utf-8")
    return load_agent(file)


def problems(file: Path, text: str, kind: Kind = Kind.AGENT) -> list[str]:
    """Return what loading says is wrong; the test fails if nothing is."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_agent(file) if kind is Kind.AGENT else load_ingest(file)
    assert caught.value.origin == str(file)
    return list(caught.value.problems)


def with_keys(text: str, table: str, *keys: str) -> str:
    """Return the text with more keys in one of its tables; "" is the top."""
    lines = "\n".join(keys)
    if not table:
        return f"{lines}\n{text}"
    head = f"[{table}]"
    if head not in text:
        return f"{text}\n{head}\n{lines}\n"
    return text.replace(head, f"{head}\n{lines}")


# What a good file gives.


def test_a_short_file_is_filled_with_defaults_that_suit_a_pi(file: Path) -> None:
    config = load(file, GOOD)

    assert config == AgentConfig(
        site="workshop",
        agent="pi-01",
        bus="bay-1",
        mode="listen",
        clock="auto",
        now_file=Path("/run/packtap/bay-1.json"),
        lines=(LineConfig(name="bms", port="/dev/ttyUSB0", baud=115200),),
        mqtt=MqttConfig(host="broker", port=1883, keepalive_s=30, window=50),
        store=StoreConfig(path=Path("/var/lib/packtap/bay-1/packtap.db"), max_mb=512, flush_s=10.0),
        pack=PackConfig(),
    )
    assert config.store.max_bytes == 512_000_000


def test_everything_can_be_said_otherwise(file: Path, tmp_path: Path) -> None:
    for name in ("ca.crt", "device.crt", "device.key", "password"):
        private(tmp_path / name, "x")
    config = load(
        file,
        """
        site = "depot"
        agent = "pi_2"
        bus = "b"
        mode = "bench"
        clock = "battery"
        now_file = "/run/x/{bus}.json"
        [lines.bms]
        port = "rfc2217://tap.example.org:2217"
        baud = 76800
        [mqtt]
        host = "::1"
        username = "pi_2"
        password_file = "password"
        keepalive_s = 60
        window = 100
        tls = {ca_file = "ca.crt", cert_file = "device.crt", key_file = "device.key"}
        [store]
        path = "data/{bus}.db"
        max_mb = 64
        flush_s = 2
        [pack]
        cell_overvoltage_mv = 4230
        """,
    )

    assert config.lines == (
        LineConfig(name="bms", port="rfc2217://tap.example.org:2217", baud=76800),
    )
    assert config.mqtt == MqttConfig(
        host="::1",
        port=8883,
        username="pi_2",
        password_file=tmp_path / "password",
        keepalive_s=60,
        window=100,
        tls=TlsConfig(
            ca_file=tmp_path / "ca.crt",
            cert_file=tmp_path / "device.crt",
            key_file=tmp_path / "device.key",
        ),
    )
    assert (config.mode, config.clock, config.bus) == ("bench", "battery", "b")
    assert config.now_file == Path("/run/x/b.json")
    assert config.store == StoreConfig(path=tmp_path / "data/b.db", max_mb=64, flush_s=2.0)
    assert isinstance(config.store.flush_s, float)
    assert config.pack == PackConfig(cell_overvoltage_mv=4230)


def test_encryption_moves_the_port_unless_it_is_given(file: Path) -> None:
    encrypted = with_keys(GOOD, "mqtt", "tls = {}")
    assert load(file, encrypted).mqtt.port == 8883
    assert load(file, with_keys(encrypted, "mqtt", "port = 18830")).mqtt.port == 18830


def test_two_wires_make_two_lines_in_the_order_of_the_file(file: Path) -> None:
    config = load(file, with_keys(GOOD, "lines.esc", 'port = "/dev/ttyUSB1"'))
    assert [(line.name, line.port) for line in config.lines] == [
        ("bms", "/dev/ttyUSB0"),
        ("esc", "/dev/ttyUSB1"),
    ]


def test_an_ingest_file_gives_one_store(file: Path, tmp_path: Path) -> None:
    file.write_text(GOOD_INGEST)
    config = load_ingest(file)
    assert config.sqlite == SqliteConfig(path=tmp_path / "packtap.db")
    assert config.influx is None
    assert (config.mqtt.host, config.mqtt.group) == ("broker", "packtap")


def test_an_ingest_file_may_name_a_v2_endpoint(file: Path, tmp_path: Path) -> None:
    private(tmp_path / "token", "t0ken\n")
    file.write_text('[mqtt]\nhost = "b"\n[influx]\nurl = "https://db:8086"\ntoken_file = "token"\n')
    influx = load_ingest(file).influx
    assert influx is not None
    assert (influx.url, influx.org, influx.bucket) == ("https://db:8086", "packtap", "packtap")
    assert influx.token_file is not None
    assert read_secret(influx.token_file) == "t0ken"


def test_a_configuration_cannot_be_changed(file: Path) -> None:
    config = load(file, GOOD)
    with pytest.raises(FrozenInstanceError):
        config.mqtt.port = 1  # type: ignore[misc]


def test_a_byte_order_mark_and_windows_line_ends_are_fine(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_agent(file).site == "workshop"


def test_the_limits_of_the_checks_are_those_of_the_pack() -> None:
    assert configured(CellLimits, PackConfig()) == CellLimits()
    pack = PackConfig(
        cell_overvoltage_mv=4300,
        cell_overvoltage_clear_mv=4250,
        cell_undervoltage_mv=2500,
        cell_undervoltage_clear_mv=2700,
        cell_imbalance_pct=20.0,
        cell_imbalance_clear_pct=15.0,
        rest_current_a=0.5,
        rest_s=60.0,
    )
    assert configured(CellLimits, pack) == CellLimits(4300, 4250, 2500, 2700)
    assert configured(ImbalanceLimits, pack) == ImbalanceLimits(20.0, 15.0, 0.5, 60.0)


# Mistakes, all at once.


def test_unknown_key_wrong_type_and_missing_port_are_reported_together(file: Path) -> None:
    text = """
        site = "workshop"
        agent = "pi-01"
        bus = "bay-1"
        colour = "red"
        [lines.bms]
        baud = "115200"
        [mqtt]
        host = "broker"
        """
    found = problems(file, text)
    assert sorted(line.partition(":")[0] for line in found) == [
        "colour",
        "lines.bms.baud",
        "lines.bms.port",
    ]
    by_key = dict(line.split(": ", 1) for line in found)
    assert by_key["colour"].startswith("unknown key; known here: site, agent, bus, ")
    assert by_key["lines.bms.baud"] == (
        "the text '115200', but a whole number is needed (write it without quotes)"
    )
    assert by_key["lines.bms.port"].startswith("missing; this key is needed; allowed: /dev/serial/")


def test_mistakes_between_lines_are_reported_beside_mistakes_in_them(file: Path) -> None:
    text = """
        site = "W"
        agent = "a"
        bus = "b"
        [lines.bms]
        port = "/dev/ttyUSB0"
        [lines.esc]
        port = "/dev/ttyUSB0"
        speed = 9600
        [lines.dash]
        [mqtt]
        """
    found = problems(file, text)
    assert {line.partition(":")[0] for line in found} == {
        "site",
        "lines",
        "lines.esc.port",
        "lines.esc.speed",
        "lines.dash.port",
        "mqtt.host",
    }
    assert len(found) == 6


ONE_MISTAKE = {
    "text for a whole number": ("mqtt", 'port = "1883"', "mqtt.port", "the text '1883'"),
    "yes for a whole number": ("mqtt", "port = true", "mqtt.port", "true, but a whole number"),
    "point in a whole number": ("mqtt", "port = 1883.0", "mqtt.port", "write it without a point"),
    "list for a whole number": ("mqtt", "port = [1883]", "mqtt.port", "a list, but a whole"),
    "date for a whole number": ("mqtt", "port = 2026-01-01", "mqtt.port", "a date or a time"),
    "huge whole number": ("mqtt", f"port = 0x{'f' * 9000}", "mqtt.port", "a huge whole number"),
    "port 0": ("mqtt", "port = 0", "mqtt.port", "0 is outside 1 to 65535"),
    "port 65536": ("mqtt", "port = 65536", "mqtt.port", "65536 is outside 1 to 65535"),
    "window of 19": ("mqtt", "window = 19", "mqtt.window", "19 is outside 20 to 100"),
    "window of 101": ("mqtt", "window = 101", "mqtt.window", "101 is outside 20 to 100"),
    "text for a number": ("store", 'flush_s = "5"', "store.flush_s", "but a number is needed"),
    "yes for a number": ("store", "flush_s = true", "store.flush_s", "but a number is needed"),
    "infinite": ("store", "flush_s = inf", "store.flush_s", "but a number is needed"),
    "not a number": ("store", "flush_s = nan", "store.flush_s", "but a number is needed"),
    "negative number": ("store", "flush_s = -1", "store.flush_s", "-1.0 is outside 1 to 300"),
    "number for a text": ("mqtt", "username = 5", "mqtt.username", "a text in quotes is needed"),
    "empty text": ("mqtt", 'username = ""', "mqtt.username", "an empty text cannot be used"),
    "number for a path": ("store", "path = 5", "store.path", "a text in quotes is needed"),
    "empty path": ("store", 'path = ""', "store.path", "the path of a file is needed"),
    "text for a table": ("", 'store = "x"', "store", "the text 'x', but a table is needed"),
    "list of tables": ("", "pack = [{}]", "pack", "a list, but a table is needed"),
    "unknown mode": ("", 'mode = "lissen"', "mode", "did you mean 'listen'?"),
    "mode as a number": ("", "mode = 1", "mode", "allowed: 'listen', 'bench'"),
    "unknown clock": ("", 'clock = "gps"', "clock", "allowed: 'auto', 'trusted', 'battery'"),
    "near a key": ("mqtt", 'hots = "x"', "mqtt.hots", "did you mean 'host'?"),
    "key in the wrong table": ("mqtt", "flush_s = 5", "mqtt.flush_s", "belongs into [store]"),
    "table in the wrong place": ("", "tls = {}", "tls", "it belongs into [mqtt]"),
    "key of a line at the top": ("", "baud = 1", "baud", "it belongs into [lines.NAME]"),
    "key of the top in a table": ("store", 'site = "x"', "store.site", "the top of the file"),
    "strange key": ("", '"a b.c" = 1', "'a b.c'", "unknown key"),
    "unknown line": (
        "lines.batt",
        'port = "/dev/x"',
        "lines.batt",
        "allowed: 'bms', 'esc', 'dash'",
    ),
    "line that names itself": ("lines.bms", 'name = "esc"', "lines.bms.name", "unknown key"),
    "text for a line": ("lines", 'esc = "/dev/x"', "lines.esc", "the text '/dev/x', but a table"),
    "rate too high": ("lines.bms", "baud = 5000000", "lines.bms.baud", "outside 1200 to 921600"),
    "password in the file": ("mqtt", 'password = "hunter2"', "mqtt.password", "password_file"),
    "password without user": ("mqtt", 'password_file = "secret"', "mqtt.username", "missing"),
    "certificate without key": (
        "mqtt.tls",
        f'cert_file = "{__file__}"',
        "mqtt.tls.key_file",
        "miss",
    ),
    "key without certificate": (
        "mqtt.tls",
        'key_file = "secret"',
        "mqtt.tls.cert_file",
        "miss",
    ),
    "certificate absent": ("mqtt.tls", 'ca_file = "/no/ca"', "mqtt.tls.ca_file", "no file /no/ca"),
    "certificate with a name too long": (
        "mqtt.tls",
        f'ca_file = "/{"x" * 300}"',
        "mqtt.tls.ca_file",
        "File name too long",
    ),
    "certificate is a folder": ("mqtt.tls", 'ca_file = "/"', "mqtt.tls.ca_file", "no file /"),
    "clear above raise": (
        "pack",
        "cell_overvoltage_clear_mv = 4260",
        "pack.cell_overvoltage_clear_mv",
        "4260 must be below the limit that raises (4250)",
    ),
    "clear below raise": (
        "pack",
        "cell_undervoltage_mv = 3100",
        "pack.cell_undervoltage_clear_mv",
        "3000 must be above the limit that raises (3100)",
    ),
    "imbalance that never clears": (
        "pack",
        "cell_imbalance_clear_pct = 10",
        "pack.cell_imbalance_clear_pct",
        "10 must be below the limit that raises (4.5)",
    ),
}


@pytest.mark.parametrize(
    ("table", "line", "key", "words"), ONE_MISTAKE.values(), ids=ONE_MISTAKE.keys()
)
def test_one_mistake_is_one_line_with_its_key(
    file: Path, table: str, line: str, key: str, words: str
) -> None:
    (problem,) = problems(file, with_keys(GOOD, table, line))
    path, _, text = problem.partition(": ")
    assert path == key
    assert words in text
    assert "hunter2" not in problem


def test_a_line_that_names_itself_is_told_its_other_mistakes_too(file: Path) -> None:
    text = GOOD.replace('port = "/dev/ttyUSB0"', 'name = "esc"\nbaud = "1"')
    assert {line.partition(":")[0] for line in problems(file, text)} == {
        "lines.bms.name",
        "lines.bms.baud",
        "lines.bms.port",
    }


@dataclass(frozen=True, slots=True)
class Switch:
    on: bool = field(metadata=about("A key that is yes or no."))


@pytest.mark.parametrize("value", [1, 0, "true", "yes", 1.0, []])
def test_only_true_and_false_are_yes_and_no(value: object, tmp_path: Path) -> None:
    places = Places(tmp_path, None)
    assert structure(Switch, {"on": True}, places) == (Switch(on=True), [])
    config, (problem,) = structure(Switch, {"on": value}, places)
    assert config is None
    assert problem.path == "on"
    assert problem.text.endswith("but true or false is needed")


@pytest.mark.parametrize("key", ["site", "agent", "bus"])
@pytest.mark.parametrize("name", ["", "Pi", "a b", "a/b", "a+", "#", "ä", "x" * 65, "a\\n"])
def test_a_name_that_is_no_topic_level_is_refused(file: Path, key: str, name: str) -> None:
    (problem,) = problems(
        file, re.sub(rf'{key} = ".*"', f'{key} = "{name}"'.replace("\\", r"\\"), GOOD)
    )
    assert problem.startswith(f"{key}: ")
    assert problem.endswith("allowed: 1 to 64 lower-case letters, digits, _ or -")


@pytest.mark.parametrize("host", ["", "mqtt://broker", "broker:1883", "a b", "user@broker"])
def test_a_host_is_a_name_and_no_url(file: Path, host: str) -> None:
    (problem,) = problems(file, GOOD.replace("broker", host))
    assert problem.startswith("mqtt.host: ")


@pytest.mark.parametrize(
    "port",
    [
        "",
        "usb",
        "http://tap:1",
        "socket://tap",
        "socket://:5",
        "socket://tap:99999",
        "socket://tap:5?logging=debug",
        "socket://tap:5/x",
        "spy:///dev/ttyUSB0?file=x",
        "loop://",
    ],
)
def test_a_name_that_is_no_port_is_refused(file: Path, port: str) -> None:
    (problem,) = problems(file, GOOD.replace("/dev/ttyUSB0", port))
    assert problem.startswith("lines.bms.port: ")
    assert "rfc2217://HOST:PORT" in problem


@pytest.mark.parametrize(
    "port", ["/dev/serial/by-id/usb-x", "COM3", "socket://tap:5000", "rfc2217://[::1]:5000"]
)
def test_every_form_of_a_port_is_taken(file: Path, port: str) -> None:
    assert load(file, GOOD.replace("/dev/ttyUSB0", port)).lines[0].port == port


def test_a_device_without_its_folder_is_completed_in_the_message(file: Path) -> None:
    (problem,) = problems(file, GOOD.replace("/dev/ttyUSB0", "ttyUSB0"))
    assert problem == "lines.bms.port: 'ttyUSB0' is not a path; did you mean '/dev/ttyUSB0'?"


# Lines together.


def test_listening_takes_at_most_two_lines(file: Path) -> None:
    more = with_keys(GOOD, "lines.esc", 'port = "/dev/ttyUSB1"')
    (problem,) = problems(file, with_keys(more, "lines.dash", 'port = "/dev/ttyUSB2"'))
    assert problem == "lines: listen takes one or two lines, here are 3: bms, esc, dash"


def test_a_bench_takes_exactly_one_line(file: Path) -> None:
    more = with_keys(GOOD, "lines.esc", 'port = "/dev/ttyUSB1"')
    (problem,) = problems(file, with_keys(more, "", 'mode = "bench"'))
    assert problem == "lines: bench takes exactly one line, here are 2: bms, esc"


@pytest.mark.parametrize("mode", ["listen", "bench"])
def test_no_line_at_all_is_refused(file: Path, mode: str) -> None:
    text = GOOD.replace('[lines.bms]\nport = "/dev/ttyUSB0"', "[lines]")
    (problem,) = problems(file, with_keys(text, "", f'mode = "{mode}"'))
    assert problem == "lines: no line; write at least [lines.bms] with its port"


def test_lines_written_as_a_list_are_shown_the_right_form(file: Path) -> None:
    text = GOOD.replace("[lines.bms]", "[[lines]]")
    (problem,) = problems(file, text)
    assert problem.startswith("lines: a list, but tables with names are needed: ")
    assert "[lines.bms]" in problem


def test_a_line_written_twice_is_refused_with_its_line_number(file: Path) -> None:
    (problem,) = problems(file, GOOD + '[lines.bms]\nport = "/dev/ttyUSB1"\n')
    assert problem.startswith("line 11, ")
    assert "twice" in problem


def test_one_port_under_two_names_is_found(file: Path, tmp_path: Path) -> None:
    device = tmp_path / "ttyUSB0"
    device.touch()
    link = tmp_path / "by-id"
    link.symlink_to(device)
    text = GOOD.replace("/dev/ttyUSB0", str(device))
    (problem,) = problems(file, with_keys(text, "lines.esc", f'port = "{link}"'))
    assert problem.startswith(f"lines.esc.port: {link} is already used by lines.bms")


def test_one_network_tap_for_two_lines_is_found(file: Path) -> None:
    text = GOOD.replace("/dev/ttyUSB0", "socket://tap:5")
    (problem,) = problems(file, with_keys(text, "lines.esc", 'port = "socket://tap:5"'))
    assert problem.startswith("lines.esc.port: socket://tap:5 is already used by lines.bms")


def test_lines_that_are_built_in_code_are_judged_too() -> None:
    line = LineConfig(name="bms", port="/dev/ttyUSB0")
    with pytest.raises(ValueError, match="twice"):
        AgentConfig(
            site="s", agent="a", bus="b", lines=(line, line), mqtt=MqttConfig(host="broker")
        )


# The store of ingest.


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('[mqtt]\nhost = "b"', "neither is there"),
        ('[mqtt]\nhost = "b"\n[sqlite]\n[influx]\nurl = "http://b:1"', "both are there"),
    ],
    ids=["none", "two"],
)
def test_ingest_needs_exactly_one_store(file: Path, text: str, found: str) -> None:
    (problem,) = problems(file, text, Kind.INGEST)
    assert problem == f"sqlite, influx: exactly one store is needed, {found}"


@pytest.mark.parametrize("url", ["", "db:8086", "ftp://db", "http://", "http://db:port"])
def test_an_address_of_a_store_is_http(file: Path, url: str) -> None:
    (problem,) = problems(file, f'[mqtt]\nhost = "b"\n[influx]\nurl = "{url}"', Kind.INGEST)
    assert problem.startswith("influx.url: ")
    assert "https://HOST" in problem


@pytest.mark.parametrize("url", ["http://u:hunter2@db:1", "http://db:1/?token=hunter2"])
def test_a_secret_in_an_address_is_refused_and_not_repeated(file: Path, url: str) -> None:
    (problem,) = problems(file, f'[mqtt]\nhost = "b"\n[influx]\nurl = "{url}"', Kind.INGEST)
    assert problem.startswith("influx.url: a secret must not stand in the address")
    assert "hunter2" not in problem


def test_a_token_in_the_file_is_refused_and_not_repeated(file: Path) -> None:
    text = '[mqtt]\nhost = "b"\n[influx]\nurl = "http://db:1"\ntoken = "hunter2"'
    (problem,) = problems(file, text, Kind.INGEST)
    assert problem.startswith("influx.token: a secret must not stand in this file")
    assert "token_file" in problem
    assert "hunter2" not in problem


# Secrets.


def test_a_bare_name_is_found_among_the_credentials_of_the_service(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "pw").write_text("right\n")
    (tmp_path / "pw").write_text("wrong\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    config = load(file, with_keys(GOOD, "mqtt", 'username = "u"', 'password_file = "pw"'))
    assert config.mqtt.password_file == credentials / "pw"
    assert read_secret(config.mqtt.password_file) == "right"


def test_a_bare_name_falls_back_to_the_folder_of_the_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private(tmp_path / "pw", "right\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "elsewhere"))
    config = load(file, with_keys(GOOD, "mqtt", 'username = "u"', 'password_file = "pw"'))
    assert config.mqtt.password_file == tmp_path / "pw"


def test_a_secret_that_is_nowhere_says_where_it_was_looked_for(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/credentials")
    text = with_keys(GOOD, "mqtt", 'username = "u"', 'password_file = "pw"')
    assert problems(file, text) == [
        f"mqtt.password_file: no file /credentials/pw and {tmp_path / 'pw'}"
    ]


def test_a_secret_of_the_service_is_no_mistake_outside_it(file: Path) -> None:
    file.write_text(with_keys(GOOD, "mqtt", 'username = "u"', 'password_file = "pw"'))
    found = inspect_file(file)
    assert found.problems == ()
    assert [problem.path for problem in found.unsure] == ["mqtt.password_file"]
    with pytest.raises(ConfigError):  # the agent itself cannot do without
        load_agent(file)


def test_a_secret_that_may_not_be_read_is_told_from_an_absent_one(
    file: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "pw"
    secret.write_text("x")
    secret.chmod(0)
    text = with_keys(GOOD, "mqtt", 'username = "u"', f'password_file = "{secret}"')
    file.write_text(text)
    let_in(file)
    with ordinary_user():
        found = inspect_file(file)
    assert [str(problem) for problem in found.problems] == [
        f"mqtt.password_file: {secret} may not be read by this user"
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "one line with the secret is needed"),
        (b"\n", "one line with the secret is needed"),
        (b"a\nb\n", "one line with the secret is needed"),
        (b"\xff", "is a line of text"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    secret = tmp_path / "pw"
    secret.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        read_secret(secret)


def test_spaces_belong_to_a_secret(tmp_path: Path) -> None:
    secret = tmp_path / "pw"
    secret.write_bytes(b" pass word \r\n")
    assert read_secret(secret) == " pass word "


def test_an_absent_secret_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_secret(tmp_path / "pw")


# Files that cannot be read at all.


def private(path: Path, text: str) -> None:
    """Write a file that its owner alone may read."""
    path.write_text(text)
    path.chmod(0o600)


def let_in(file: Path) -> None:
    """Let every user reach the file, as in /etc; pytest's folders are closed to others."""
    pytests = ("pytest-", "popen-", "test_")
    for folder in file.parents:
        if folder.stat().st_uid == os.geteuid() and folder.name.startswith(pytests):
            folder.chmod(0o755)


BROKEN = {
    "no value": (b"site = \n", "line 1, column 8: this is not TOML: Invalid value"),
    "no quotes": (b"a = 1\nsite = workshop\n", "line 2, column 8: this is not TOML: Invalid value"),
    "unfinished table": (b"[mqtt\nhost = 1", "line 1, column 6: this is not TOML: "),
    "unfinished text": (b'site = "wor', "the end of the file: this is not TOML: "),
    "same key twice": (b"a = 1\nb = 2\na = 3\n", "line 3, "),
    "latin-1": ('a = 1\nsite = "dépôt"\n'.encode("latin-1"), "line 2: byte e9 is not UTF-8"),
    "utf-16": ('a = "b"\n'.encode("utf-16"), "line 1: byte ff is not UTF-8"),
    "binary": (bytes(range(128, 256)), "line 1: byte 80 is not UTF-8"),
    "nul": (b"a = 1\n\0\0\0", "line 2, column 1: this is not TOML: "),
    "nested too deeply": (b"a = " + b"[" * 50_000, "this is not TOML: nested too deeply"),
    "number of 5000 digits": (b"a = " + b"9" * 5000, "this is not TOML: "),
    "huge": (b"#" * 1_000_001, "larger than 1 MB"),
}


@pytest.mark.parametrize(("content", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_is_no_toml_is_refused_in_one_line(
    file: Path, content: bytes, words: str
) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_agent(file)
    (problem,) = caught.value.problems
    assert problem.startswith(words)
    assert "\n" not in problem


def test_an_empty_file_names_everything_that_is_needed(file: Path) -> None:
    assert [line.partition(":")[0] for line in problems(file, "")] == [
        "site",
        "agent",
        "bus",
        "lines",
        "mqtt",
    ]


def test_an_absent_file_says_how_to_begin(file: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; `packtap config example` prints one"):
        load_agent(file)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this is a folder"):
        load_agent(tmp_path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="a device or a pipe"):
        load_agent(pipe)


def test_a_file_that_may_not_be_read_is_refused(file: Path) -> None:
    file.write_text(GOOD)
    file.chmod(0)
    let_in(file)
    with ordinary_user(), pytest.raises(ConfigError, match="this user may not read it"):
        load_agent(file)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_of_a_file_raise_anything_else(data: bytes) -> None:
    # A file of its own for each example, without leaving thousands behind.
    path = Path(f"/proc/self/fd/{_memory_file(data)}")
    try:
        found = inspect_file(path)
    finally:
        os.close(int(path.name))
    assert found.config is None
    assert found.problems


def _memory_file(data: bytes) -> int:
    number = os.memfd_create("config")
    os.write(number, data)
    os.lseek(number, 0, os.SEEK_SET)
    return number


VALUES = st.one_of(
    st.integers(), st.booleans(), st.floats(), st.text(max_size=5), st.lists(st.integers()),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


@settings(deadline=None)
@given(st.data())
def test_any_value_under_any_key_is_taken_or_refused_by_its_key(data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(["", "mqtt", "store", "pack", "mqtt.tls", "lines.bms"]))
    tree: dict[str, object] = tomllib.loads(GOOD)
    inner: dict[str, object] = tree
    for name in filter(None, table.split(".")):
        inner = inner.setdefault(name, {})  # type: ignore[assignment]
    names = {
        "": AgentConfig,
        "mqtt": MqttConfig,
        "store": StoreConfig,
        "pack": PackConfig,
        "mqtt.tls": TlsConfig,
        "lines.bms": LineConfig,
    }
    key = data.draw(st.sampled_from([field.name for field in fields(names[table])]))
    inner[key] = data.draw(VALUES)
    text = "\n".join(f"{_quoted(name)} = {_inline(value)}" for name, value in tree.items())
    number = _memory_file(text.encode())
    os.fchmod(number, 0o600)
    try:
        found = inspect_file(Path(f"/proc/self/fd/{number}"))
    finally:
        os.close(number)
    if found.config is None:
        said = [problem.path for problem in (*found.problems, *found.unsure)]
        assert said
        assert all(path.startswith(table or path) for path in said)


def _quoted(key: str) -> str:
    return json.dumps(key, ensure_ascii=False).replace("\x7f", "\\u007f")


def _inline(value: object) -> str:
    match value:
        case dict():
            inside = ", ".join(f"{_quoted(name)} = {_inline(item)}" for name, item in value.items())
            return "{" + inside + "}"
        case list():
            return "[" + ", ".join(_inline(item) for item in value) + "]"
        case str():
            return _quoted(value)
        case bool():
            return str(value).lower()
    return str(value)


# What the broker keeps while ingest is away.


def test_the_broker_keeps_messages_for_ever_unless_told_otherwise(file: Path) -> None:
    never = 4294967295  # MQTT v5, section 3.1.2.11.2
    text = '[mqtt]\nhost = "broker"\n{}\n[sqlite]\n'
    file.write_text(text.format(""))
    assert load_ingest(file).mqtt.session_expiry_s == never
    file.write_text(text.format(f"session_expiry_s = {never}"))
    assert load_ingest(file).mqtt.session_expiry_s == never
    file.write_text(text.format(f"session_expiry_s = {never + 1}"))
    with pytest.raises(ConfigError, match=f"outside 60 to {never}"):
        load_ingest(file)


# The example, generated from the keys.


@pytest.mark.parametrize(
    ("text", "golden"),
    [
        (example_agent(), "agent.toml"),
        (example_ingest(), "ingest.toml"),
        (example_web(), "web.toml"),
    ],
    ids=["agent", "ingest", "web"],
)
def test_the_example_is_the_reviewed_one(text: str, golden: str) -> None:
    assert text == (GOLDEN / golden).read_text(encoding="utf-8")


def test_the_examples_load_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(example_agent())
    (tmp_path / "b.toml").write_text(example_ingest())
    assert load_agent(tmp_path / "a.toml").mode == "listen"
    assert load_ingest(tmp_path / "b.toml").sqlite is not None
    assert inspect_file(tmp_path / "a.toml").kind is Kind.AGENT
    assert inspect_file(tmp_path / "b.toml").kind is Kind.INGEST


def uncommented(text: str, tmp_path: Path) -> str:
    """Return the example with every #key made a key, and its files made to exist."""
    text = re.sub(r"(?m)^#(?=[a-z\[])", "", text)
    for name in re.findall(r'(?m)^\w+_file = "(.*)"$', text):
        if "/run/" in name:
            continue
        made = tmp_path / Path(name).name
        private(made, "x")
        text = text.replace(name, made.name)
    return text


def test_every_commented_key_of_the_agent_can_be_uncommented(tmp_path: Path, file: Path) -> None:
    text = uncommented(example_agent(), tmp_path)
    config = load(file, text)
    example = load(tmp_path / "as-it-is.toml", example_agent())

    assert [line.name for line in config.lines] == ["bms", "esc"]
    assert config.mqtt.tls is not None
    assert (config.store, config.pack) == (example.store, example.pack)
    table = tomllib.loads(text)
    assert set(table) == {field.name for field in fields(AgentConfig)}
    assert set(table["mqtt"]) == {field.name for field in fields(MqttConfig)}
    assert set(table["mqtt"]["tls"]) == {field.name for field in fields(TlsConfig)}
    assert set(table["pack"]) == {field.name for field in fields(PackConfig)}


def test_every_commented_key_of_ingest_can_be_uncommented(tmp_path: Path, file: Path) -> None:
    text = uncommented(example_ingest(), tmp_path)
    assert set(tomllib.loads(text)) == {field.name for field in fields(IngestConfig)}
    # Both stores are there now, and nothing else is wrong.
    assert problems(file, text, Kind.INGEST) == [
        "sqlite, influx: exactly one store is needed, both are there"
    ]


def test_the_kind_of_a_file_is_found_by_its_tables_and_then_by_its_name(tmp_path: Path) -> None:
    for name, text, kind in (
        ("x.toml", GOOD, Kind.AGENT),
        ("ingest.toml", GOOD, Kind.AGENT),
        ("x.toml", GOOD_INGEST, Kind.INGEST),
        ("ingest.toml", '[mqtt]\nhost = "b"\n', Kind.INGEST),
        ("x.toml", '[mqtt]\nhost = "b"\n', Kind.AGENT),
        ("x.toml", "port = 80\n", Kind.WEB),
        ("web.toml", "", Kind.WEB),
    ):
        (tmp_path / name).write_text(text)
        assert inspect_file(tmp_path / name).kind is kind


# The command.


def test_the_command_says_fine(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD)
    assert main(["config", "check", str(file)]) == 0
    out, err = capsys.readouterr()
    assert out == (
        f"{file}: fine: agent workshop/pi-01/bay-1, listen, bms on /dev/ttyUSB0, "
        "broker broker:1883\n"
    )
    assert err == ""


def test_the_command_names_every_mistake_of_every_file_on_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, absent = (tmp_path / name for name in ("good.toml", "bad.toml", "absent.toml"))
    good.write_text(GOOD_INGEST)
    bad.write_text('colour = "red"\n' + GOOD.replace('port = "/dev/ttyUSB0"', 'baud = "115200"'))
    assert main(["config", "check", str(good), str(bad), str(absent)]) == 2
    out, err = capsys.readouterr()
    assert out == f"{good}: fine: ingest, broker broker:1883, store {tmp_path / 'packtap.db'}\n"
    lines = err.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("packtap: ") for line in lines)
    for key in ("colour", "lines.bms.baud", "lines.bms.port"):
        assert sum(f"{bad}: {key}: " in line for line in lines) == 1
    assert f"{absent}: there is no such file" in lines[-1]


def test_the_command_tells_mistakes_from_what_it_cannot_know(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(with_keys(GOOD, "mqtt", 'username = "u"', 'password_file = "pw"'))
    assert main(["config", "check", str(file)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{file}: fine as far as can be judged here\n"
    assert "cannot be judged here: mqtt.password_file: no file" in err


def test_the_command_takes_the_kind_that_is_named(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(GOOD)
    assert main(["config", "check", "--kind", "ingest", "--json", str(file)]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["kind"] == "ingest"
    assert document["fine"] is False
    assert "lines" in [problem["key"] for problem in document["problems"]]


def test_the_command_prints_both_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "example"]) == 0
    assert capsys.readouterr().out == example_agent()
    assert main(["config", "example", "ingest"]) == 0
    assert capsys.readouterr().out == example_ingest()


@pytest.mark.parametrize(
    "words", [[], ["check"], ["example", "page"], ["check", "--kind", "page", "x"]]
)
def test_a_wrong_use_of_the_command_is_usage(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["config", *words])
    assert caught.value.code == 2
    assert "usage: packtap config" in capsys.readouterr().err


def test_a_whole_process_leaves_no_traceback(file: Path) -> None:
    file.write_text('colour = "red"\n[lines.bms]\nbaud = "115200"\n')
    done = subprocess.run(
        [sys.executable, "-m", "packtap", "config", "check", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert all(line.startswith("packtap: ") for line in done.stderr.splitlines())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o620])
@pytest.mark.parametrize("key", ["password_file", "tls.key_file"])
def test_secret_that_others_may_read_is_refused_with_the_command_that_helps(
    file: Path, tmp_path: Path, key: str, mode: int
) -> None:
    private(tmp_path / "pw", "secret-word")
    text = with_keys(GOOD, "mqtt", 'username = "u"', 'password_file = "pw"')
    if key == "tls.key_file":
        text = with_keys(GOOD, "mqtt.tls", 'key_file = "pw"', f'cert_file = "{__file__}"')
    load(file, text)
    (tmp_path / "pw").chmod(mode)
    wrong = f"others may read {tmp_path}/pw (mode {mode:o}): chmod 600 {tmp_path}/pw"
    assert problems(file, text) == [f"mqtt.{key}: {wrong}"]
    with pytest.raises(ConfigError) as caught:
        load_agent(file)
    assert "secret-word" not in str(caught.value)


def test_token_of_ingest_that_others_may_read_is_refused(file: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    (tmp_path / "token").chmod(0o644)
    text = '[mqtt]\nhost = "b"\n[influx]\nurl = "https://db:8086"\ntoken_file = "token"\n'
    (problem,) = problems(file, text, Kind.INGEST)
    assert problem.endswith(f"chmod 600 {tmp_path}/token")


def test_credentials_of_the_service_keep_the_modes_that_systemd_gives_them(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "pw").write_text("x")
    (folder / "pw").chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    load(file, with_keys(GOOD, "mqtt", 'username = "u"', 'password_file = "pw"'))


@pytest.mark.parametrize(
    ("text", "load_it"),
    [(GOOD, load_agent), (GOOD_INGEST, load_ingest), ("port = 8091", load_web)],
    ids=["agent", "ingest", "web"],
)
def test_configuration_that_everybody_may_change_is_refused_with_the_command_that_helps(
    file: Path, text: str, load_it: Callable[[Path], object]
) -> None:
    file.write_text(text)
    file.chmod(0o664)
    load_it(file)
    file.chmod(0o666)
    with pytest.raises(ConfigError) as caught:
        load_it(file)
    assert caught.value.problems == (
        f"everybody may change this file (mode 666): chmod o-w {file}",
    )
