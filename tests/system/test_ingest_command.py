"""`packtap ingest` as a person starts it: options, one clear line for each mistake, clean end."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from packtap.store import Store
from system.ingest_bench import publishing, ride
from system.servers import Mosquitto, eventually

COMMAND = [sys.executable, "-m", "packtap", "ingest"]


def _run(*arguments: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == ""
    return done.returncode, done.stderr.splitlines()


def test_options_are_enough_to_run_without_a_configuration_file(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    path = tmp_path / "demo.db"
    options = [
        "--sqlite",
        str(path),
        "--mqtt-port",
        str(mosquitto.port),
        "--mqtt-host",
        "127.0.0.1",
    ]
    (tmp_path / "out").touch()
    with (tmp_path / "out").open("wb") as out, publishing(mosquitto.port) as publisher:
        process = subprocess.Popen([*COMMAND, *options, "--json", "--every", "0.05"], stdout=out)
        try:
            eventually(
                lambda: '"connected": true' in (tmp_path / "out").read_text(), "subscription"
            )
            publisher.send(*ride(4, samples=5))
            eventually(lambda: '"acknowledged": 4' in (tmp_path / "out").read_text(), "storing")
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait(10)
    last = json.loads((tmp_path / "out").read_text().splitlines()[-1])
    assert {**last, "t": 0, "connected": False} == {
        "kind": "ingest",
        "t": 0,
        "received": 4,
        "stored": 4,
        "readings": 20,
        "ignored": 0,
        "refused": 0,
        "unkept": 0,
        "overrun": 0,
        "refused_by": {},
        "given_up": 0,
        "retries": 0,
        "acknowledged": 4,
        "waiting": 0,
        "store": "ok",
        "connected": False,
    }
    with Store.open_read_only(path) as store:
        assert store.rows() == 20
    assert (tmp_path / "demo.dead-letter.jsonl").read_text() == ""


def test_missing_configuration_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    code, lines = _run("--config", str(tmp_path / "none.toml"))
    assert code == 2
    assert len(lines) == 1
    assert "none.toml" in lines[0]


def test_every_mistake_of_a_configuration_is_named_with_its_key(tmp_path: Path) -> None:
    file = tmp_path / "ingest.toml"
    file.write_text('[mqtt]\nhost = "127.0.0.1"\nport = "x"\nfoo = 1\n[sqlite]\nmax_mb = 0\n')
    code, lines = _run("--config", str(file))
    assert code == 2
    for key in ("mqtt.port", "mqtt.foo", "sqlite.max_mb"):
        assert sum(key in line for line in lines) == 1


@pytest.mark.parametrize("option", ["--sqlite", "--dead-letter"])
def test_place_that_cannot_be_written_is_one_line_and_exit_code_2(
    option: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    wrong = str(tmp_path / "file" / "x.db")
    places = {
        "--sqlite": str(tmp_path / "a.db"),
        "--dead-letter": str(tmp_path / "b"),
        option: wrong,
    }
    code, lines = _run(*[word for pair in places.items() for word in pair])
    assert code == 2
    assert len(lines) == 1
    assert wrong in lines[0]


def test_token_that_no_header_can_carry_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("gehë1m")
    (tmp_path / "token").chmod(0o600)
    file = tmp_path / "ingest.toml"
    file.write_text(
        '[mqtt]\nhost = "127.0.0.1"\n[influx]\nurl = "http://127.0.0.1:9"\n'
        f'token_file = "{tmp_path}/token"\n[dead_letter]\npath = "{tmp_path}/dead.jsonl"\n'
    )
    code, lines = _run("--config", str(file))
    assert (code, len(lines)) == (2, 1)
    assert "a token is plain ASCII" in lines[0]
    assert "gehë1m" not in lines[0]


def test_port_that_does_not_exist_is_a_usage_error() -> None:
    done = subprocess.run(
        [*COMMAND, "--mqtt-port", "70000"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "'70000' is no port: a number from 1 to 65535" in done.stderr
