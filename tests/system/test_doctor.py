"""`packtap doctor` as a process: on real ports, and against a real broker and store.

The lines are pseudo-terminals that notice the rate they were opened with, and hand over what a UART
at that rate would read (`uart_wire`). What the verdicts are is tested case by case in
tests/agent/test_doctor_lines.py; here it is that ports, broker and store are what they seem.
"""

import fcntl
import grp  # here, where the interpreter may still read its own files
import json
import os
import pty
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.subscriber import subscribe
from doctor_wires import SERIAL, pack_of, scooter
from fake_wire import Read
from ninebot_bms import Dialect
from ninebot_bms.commands import is_read_request
from ninebot_bms.emulator import EmulatedPack
from ordinary_user import ordinary_user
from packtap.cli import main
from packtap.doctor import BUDGET_S
from packtap.wire import TOPIC_ROOT
from serial_ends import Pty
from system.servers import (
    Certificates,
    Mosquitto,
    eventually,
    make_certificates,
    start_influxdb,
    start_mosquitto,
    start_v2_shim,
)
from uart_wire import BITS, Sent, read_wave, wave_of

#: linux/termios: the rate of the other end, also one without a name of its own.
TCGETS2 = 0x802C542A
ACL = "pattern write packtap/v1/+/%u/#\n"


@dataclass(frozen=True)
class Ran:
    """What a run of the command gave."""

    code: int
    lines: list[dict[str, Any]]
    errors: str

    @property
    def verdict(self) -> dict[str, Any]:
        return self.lines[-1]

    def check(self, name: str) -> dict[str, Any]:
        (found,) = [line for line in self.lines[:-1] if line["name"] == name]
        return found

    def outcome(self, name: str) -> str:
        return str(self.check(name)["outcome"])


def doctor(*words: str) -> Ran:
    """Run the command with --json, no longer than it promises."""
    done = subprocess.run(
        [sys.executable, "-m", "packtap", "doctor", "--json", *words],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if lines:
        assert [line["kind"] for line in lines[:-1]] == ["check"] * (len(lines) - 1)
        assert lines[-1]["kind"] == "verdict"
        assert lines[-1]["fine"] == (done.returncode == 0)
        assert lines[-1]["failed"] == [
            line["name"] for line in lines[:-1] if line["outcome"] == "fail"
        ]
    return Ran(done.returncode, lines, done.stderr)


# Real ports.


class RateAwarePty:
    """A line whose far end puts on the copper what it likes, at its own rate.

    Args:
        reads: traffic that nobody asked for; times from the opening on, again and again.
        pack: what answers; it hears what is sent, at its own rate.
        baud: of the far end.
        inverted: an inverter stands between.
    """

    def __init__(
        self,
        reads: Sequence[Read] = (),
        pack: EmulatedPack | None = None,
        *,
        baud: int = 115200,
        inverted: bool = False,
    ) -> None:
        self._end = Pty()
        self._baud = baud
        self._pack = pack
        self._inverted = inverted
        self._due = [(t, data) for t, _, data in reads if t is not None]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.device = self._end.device
        self.told = bytearray()

    def __enter__(self) -> "RateAwarePty":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._end.unplug()

    @property
    def rate(self) -> int:
        """Return the rate that the near end was opened with."""
        return int.from_bytes(
            fcntl.ioctl(self._end.master, TCGETS2, bytes(44))[40:44], sys.byteorder
        )

    def _run(self) -> None:
        began = time.monotonic()
        sent = 0
        while not self._stop.is_set():
            now = time.monotonic() - began
            if self._due and now >= self._due[sent % len(self._due)][0] + self._round(sent):
                self._put(self._due[sent % len(self._due)][1])
                sent += 1
                continue
            if asked := self._end.read():
                self._hear(asked, now)
            if self._pack is not None:
                while (reply := self._pack.next_send(now)) is not None:
                    self._put(reply)
            time.sleep(0.001)

    def _round(self, sent: int) -> float:
        return (sent // len(self._due)) * (self._due[-1][0] + 0.2)

    def _hear(self, asked: bytes, now: float) -> None:
        self.told += asked
        if self._pack is not None:
            for _, byte in read_wave(wave_of([Sent(now, asked, self.rate)]), self._baud):
                self._pack.receive_data(bytes((byte,)), now)

    def _put(self, data: bytes) -> None:
        wave = wave_of([Sent(0.0, data, self._baud)])
        heard = read_wave(wave.inverted() if self._inverted else wave, self.rate)
        if heard:
            self._end.write(bytes(byte for _, byte in heard))
        time.sleep(len(data) * BITS / self._baud)


def riding(dialect: Dialect, *lines: str) -> list[Read]:
    """Return the traffic of a ride on some lines; the knocks of its start are over."""
    return [
        (t - 1.0, line, data)
        for t, line, data in scooter(dialect, 12.0)
        if line in lines and t is not None and t > 1.0
    ]


@pytest.mark.parametrize(
    ("line", "baud", "inverted", "verdict", "code"),
    [
        ("bms", 115200, False, "pack_heard", 0),
        ("bms", 76800, False, "other_rate", 1),
        ("bms", 115200, True, "inverted", 1),
        ("esc", 115200, False, "esc_only", 1),
    ],
)
def test_a_real_port_gives_the_verdict(
    line: str, baud: int, inverted: bool, verdict: str, code: int
) -> None:
    reads = riding(Dialect.NINEBOT, line)
    with RateAwarePty(reads, baud=baud, inverted=inverted) as end:
        ran = doctor(end.device)
        assert not end.told
    assert (ran.verdict["verdict"], ran.code) == (verdict, code)
    assert ran.verdict["seconds"] < BUDGET_S


@pytest.mark.parametrize(
    ("dialect", "baud", "verdict", "code"),
    [
        (Dialect.XIAOMI, 115200, "pack_answers", 0),
        (Dialect.NINEBOT, 76800, "other_rate", 1),
    ],
)
def test_a_real_port_on_a_bench_gives_the_verdict(
    dialect: Dialect, baud: int, verdict: str, code: int
) -> None:
    pack = pack_of(dialect, asleep=True)
    with RateAwarePty(pack=pack, baud=baud) as end:
        ran = doctor(end.device, "--bench")
        assert end.told
    assert (ran.verdict["verdict"], ran.code) == (verdict, code)


def test_a_silent_port_exits_3_and_only_with_bench_is_anything_sent() -> None:
    with RateAwarePty() as end:
        ran = doctor(end.device)
        assert (ran.verdict["verdict"], ran.code) == ("nothing", 3)
        assert not end.told
        ran = doctor(end.device, "--bench")
        assert (ran.verdict["verdict"], ran.code) == ("bench_silent", 3)
        assert is_read_request(bytes(end.told[: end.told.index(b"\x5a\xa5")]))


def test_a_port_that_is_not_there_says_what_is() -> None:
    ran = doctor("/dev/ttyUSB77")
    assert (ran.verdict["verdict"], ran.code) == ("port_absent", 1)
    assert "Plug the adapter in" in ran.verdict["next"][0]


def test_a_file_is_no_port(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    ran = doctor(str(tmp_path / "x"))
    assert (ran.verdict["verdict"], ran.code) == ("port_not_serial", 1)


def test_a_port_that_another_program_has_locked_is_busy() -> None:
    with RateAwarePty() as end:
        holder = (
            "import serial, sys; port = serial.Serial(sys.argv[1], exclusive=True); "
            "print('has it', flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", holder, end.device],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stdout.readline() == "has it\n"
            ran = doctor(end.device)
            assert process.stdin is not None
            process.stdin.close()
    assert (ran.verdict["verdict"], ran.code) == ("port_busy", 1)
    assert f"(pid {process.pid})" in ran.verdict["seen"]


def test_a_port_of_another_group_names_the_group(capsys: pytest.CaptureFixture[str]) -> None:
    with RateAwarePty() as end:
        device = Path(end.device)
        device.chmod(0o000)
        with ordinary_user():
            code = main(["doctor", "--json", end.device])
        verdict = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (verdict["verdict"], code) == ("port_forbidden", 1)
        group = grp.getgrgid(device.stat().st_gid).gr_name
        assert f"group {group}" in verdict["seen"]


# On a screen.


def lines_on_a_terminal(*words: str) -> list[str]:
    """Run the command in a terminal of 80x24 without colour; return what stands on it."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, 0x5414, b"\x18\0\x50\0\0\0\0\0")  # TIOCSWINSZ: 24 rows, 80 columns
    with subprocess.Popen(
        [sys.executable, "-m", "packtap", "doctor", *words],
        stdout=slave, stderr=subprocess.DEVNULL, stdin=slave,
        env={**os.environ, "TERM": "dumb", "NO_COLOR": "1"},
    ) as process:  # fmt: skip
        os.close(slave)
        shown = b""
        while True:
            try:
                shown += os.read(master, 4096)
            except OSError:
                break
        process.wait()
    os.close(master)
    return shown.decode().replace("\r\n", "\n").splitlines()


def without_numbers(lines: list[str]) -> str:
    """Return the text of two runs, of which only the counts may differ."""
    return re.sub(r"[\d.]+", "#", " ".join(" ".join(lines).split()))


@pytest.mark.parametrize("line", ["bms", "esc", ""])
def test_the_whole_answer_fits_a_small_screen_and_a_pipe_says_the_same(line: str) -> None:
    reads = riding(Dialect.XIAOMI, line)
    with RateAwarePty(reads) as end:
        shown = lines_on_a_terminal(end.device)
        piped = subprocess.run(
            [sys.executable, "-m", "packtap", "doctor", end.device],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    for lines in (shown, piped.stdout.splitlines()):
        assert len(lines) <= 24, "\n".join(lines)
        assert max(len(each) for each in lines) <= 80
        assert not any("\x1b" in each for each in lines)
        marks = {each[:11].strip() for each in lines if each[:4] in ("pass", "FAIL", "not ")}
        assert {"pass", "not tried"} <= marks
    assert without_numbers(shown) == without_numbers(piped.stdout.splitlines())
    assert "listening on" in piped.stderr


# The broker.


@dataclass(frozen=True)
class Place:
    """A folder with a configuration that points to a broker."""

    folder: Path

    def agent(
        self, port: int, *, tls: Certificates | None = None, device: str = "pi-01", more: str = ""
    ) -> str:
        """Write an agent's configuration; return its path."""
        encrypted = (
            f'[mqtt.tls]\nca_file = "{tls.ca}"\ncert_file = "{tls.cert(device)}"\n'
            f'key_file = "{tls.key(device)}"\n'
            if tls is not None
            else ""
        )
        path = self.folder / "agent.toml"
        path.write_text(
            f'site = "depot"\nagent = "pi-01"\nbus = "bay-1"\nclock = "trusted"\n'
            f'now_file = "{self.folder}/now.json"\n'
            f'[lines.bms]\nport = "{self.folder}/no-port"\n'
            f'[store]\npath = "{self.folder}/packtap.db"\nmax_mb = 16\n'
            f'[mqtt]\nhost = "127.0.0.1"\nport = {port}\n{more}{encrypted}'
        )
        return str(path)

    def ingest(self, broker: int, url: str, token: str) -> str:
        """Write a configuration of ingest; return its path."""
        (self.folder / "token").write_text(token)
        (self.folder / "token").chmod(0o600)
        path = self.folder / "ingest.toml"
        path.write_text(
            f'[mqtt]\nhost = "127.0.0.1"\nport = {broker}\n'
            f'[influx]\nurl = "{url}"\nbucket = "packtap"\ntoken_file = "{self.folder}/token"\n'
        )
        return str(path)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_broker_that_takes_everything_passes_and_keeps_nothing(
    mosquitto: Mosquitto, place: Place
) -> None:
    with subscribe(mosquitto.port) as witness:
        ran = doctor("--config", place.agent(mosquitto.port))
        eventually(lambda: witness.arrivals)
    for name in ("broker reachable", "broker login", "publishing", "subscriber"):
        assert ran.outcome(name) == "pass", ran.check(name)
    assert ran.outcome("broker certificate") == "not tried"
    assert "not encrypted" in ran.check("broker certificate")["seen"]
    (arrival,) = witness.arrivals
    assert (arrival.topic, arrival.retained) == (f"{TOPIC_ROOT}/depot/pi-01/bay-1/doctor", False)
    # Nothing is retained, and no last will was left: whoever comes later hears nothing before
    # what is published then.
    with subscribe(mosquitto.port, name="later") as later:
        doctor("--config", place.agent(mosquitto.port))
        eventually(lambda: later.arrivals)
    assert [each.retained for each in later.arrivals] == [False]
    # The line has no port: that is the verdict, whatever the broker says.
    assert ran.verdict["verdict"] == "port_absent"
    assert ran.outcome("clock") == "pass"
    assert ran.outcome("disk") in ("pass", "fail")
    assert ran.outcome("buffer") == "not tried"


def test_a_running_agent_of_the_same_names_is_not_disturbed(
    mosquitto: Mosquitto, place: Place
) -> None:
    lost: list[object] = []
    agent = Client(
        CallbackAPIVersion.VERSION2, client_id="pi-01-bay-1", protocol=MQTTProtocolVersion.MQTTv5
    )
    agent.on_disconnect = lambda *reasons: lost.append(reasons)
    agent.connect("127.0.0.1", mosquitto.port)
    agent.loop_start()
    eventually(agent.is_connected)
    doctor("--config", place.agent(mosquitto.port))
    # A taken-over session is told at once; what is published now would come after that.
    agent.publish("x", b"", qos=1).wait_for_publish(20)
    assert lost == []
    agent.disconnect()
    agent.loop_stop()


def test_a_broker_to_which_nobody_subscribes_is_a_fault(mosquitto: Mosquitto, place: Place) -> None:
    ran = doctor("--config", place.agent(mosquitto.port))
    assert ran.outcome("publishing") == "pass"
    assert ran.outcome("subscriber") == "fail"
    assert "packtap ingest" in ran.check("subscriber")["next"]


def test_a_port_without_a_broker_is_said_and_the_rest_is_not_called_fine(place: Place) -> None:
    ran = doctor("--config", place.agent(9))
    assert ran.outcome("broker reachable") == "fail"
    assert "refuses the connection" in ran.check("broker reachable")["seen"]
    for name in ("broker certificate", "broker login", "publishing", "subscriber"):
        assert ran.outcome(name) == "not tried"


def test_an_access_list_that_refuses_is_found(tmp_path: Path, place: Place) -> None:
    words = {"pi-01": "secret", "pi-02": "secret"}
    (tmp_path / "password").write_text("secret")
    (tmp_path / "password").chmod(0o600)

    def login(user: str) -> str:
        return f'username = "{user}"\npassword_file = "{tmp_path}/password"\n'

    with start_mosquitto(tmp_path, acl=ACL, passwords=words) as broker:
        mine = doctor("--config", place.agent(broker.port, more=login("pi-01")))
        foreign = doctor("--config", place.agent(broker.port, more=login("pi-02")))
        (tmp_path / "password").write_text("wrong")
        wrong = doctor("--config", place.agent(broker.port, more=login("pi-01")))
    assert mine.outcome("publishing") == "pass"
    assert foreign.outcome("broker login") == "pass"
    assert foreign.outcome("publishing") == "fail"
    assert "Not authorized" in foreign.check("publishing")["seen"]
    assert "%u" in foreign.check("publishing")["next"]
    assert foreign.outcome("subscriber") == "not tried"
    assert wrong.outcome("broker login") == "fail"
    assert wrong.outcome("publishing") == "not tried"


@pytest.fixture
def tls_broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker with certificates on both sides and an access list."""
    with start_mosquitto(tmp_path, acl=ACL, tls_devices=["pi-01", "pi-02"]) as broker:
        yield broker


def the_port(broker: Mosquitto) -> tuple[int, Certificates]:
    assert broker.tls_port is not None
    assert broker.certificates is not None
    return broker.tls_port, broker.certificates


def test_certificates_that_are_right_pass_with_their_dates(
    tls_broker: Mosquitto, place: Place
) -> None:
    port, files = the_port(tls_broker)
    ran = doctor("--config", place.agent(port, tls=files))
    for name in ("broker certificate", "device certificate", "broker login", "publishing"):
        assert ran.outcome(name) == "pass", ran.check(name)
    assert "of server, valid until 20" in ran.check("broker certificate")["seen"]
    assert "of pi-01, valid until 20" in ran.check("device certificate")["seen"]


def test_an_authority_that_is_not_the_brokers_is_found(
    tls_broker: Mosquitto, place: Place, tmp_path: Path
) -> None:
    port, files = the_port(tls_broker)
    other = make_certificates(tmp_path / "other", ["pi-01"])
    ran = doctor("--config", place.agent(port, tls=other))
    seen = ran.check("broker certificate")
    assert seen["outcome"] == "fail"
    assert "authority is not the one" in seen["seen"]
    # Whose it is stands there, although it is not believed.
    assert "of server, by test CA" in seen["seen"]
    assert ran.outcome("publishing") == "not tried"
    assert files.ca != other.ca


def renewed(files: Certificates, name: str, *options: str, into: Path) -> None:
    """Sign a certificate's request anew with other dates."""
    with (into / "serial").open("w") as serial:
        serial.write("77\n")
    subprocess.run(
        ["openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
         "-CAserial", str(into / "serial"), "-extfile", f"{name}.ext", "-out", f"{name}.crt",
         *options],
        cwd=files.directory, check=True, capture_output=True,
    )  # fmt: skip


def test_a_broker_certificate_that_has_expired_is_found(
    tls_broker: Mosquitto, place: Place, tmp_path: Path
) -> None:
    port, files = the_port(tls_broker)
    renewed(files, "server", "-days", "-1", into=tmp_path)
    tls_broker.restart()
    ran = doctor("--config", place.agent(port, tls=files))
    seen = ran.check("broker certificate")
    assert seen["outcome"] == "fail"
    assert "it has expired" in seen["seen"]
    assert "valid 20" in seen["seen"]
    assert "clock" in seen["next"]


def test_a_device_certificate_that_ends_soon_or_is_somebody_elses_is_found(
    tls_broker: Mosquitto, place: Place, tmp_path: Path
) -> None:
    port, files = the_port(tls_broker)
    other = doctor("--config", place.agent(port, tls=files, device="pi-02"))
    assert "it is of 'pi-02'" in other.check("device certificate")["seen"]
    assert other.outcome("publishing") == "fail"  # the broker goes by the certificate
    renewed(files, "pi-01", "-days", "5", into=tmp_path)
    soon = doctor("--config", place.agent(port, tls=files))
    assert soon.outcome("device certificate") == "fail"
    assert "expires in" in soon.check("device certificate")["seen"]
    assert soon.outcome("publishing") == "pass"


def test_a_port_without_encryption_is_told_from_a_wrong_certificate(
    tls_broker: Mosquitto, place: Place
) -> None:
    _, files = the_port(tls_broker)
    ran = doctor("--config", place.agent(tls_broker.port, tls=files))
    assert ran.outcome("broker certificate") == "fail"
    assert "no encrypted connection" in ran.check("broker certificate")["seen"]


def test_a_broker_that_hangs_holds_nobody_up(mosquitto: Mosquitto, place: Place) -> None:
    mosquitto.pause()
    try:
        ran = doctor("--config", place.agent(mosquitto.port))
    finally:
        mosquitto.resume()
    assert ran.outcome("broker reachable") == "pass"  # the kernel takes the connection
    assert ran.outcome("broker login") == "fail"
    assert ran.verdict["seconds"] < BUDGET_S


# The store.


def test_a_store_and_its_token_are_tried(mosquitto: Mosquitto, place: Place) -> None:
    with (
        start_influxdb(place.folder) as influx,
        start_v2_shim(place.folder, influx, token="right") as shim,
    ):
        right = doctor("--config", place.ingest(mosquitto.port, shim.url, "right"))
        wrong = doctor("--config", place.ingest(mosquitto.port, shim.url, "wrong"))
        influx.query('DROP DATABASE "packtap"')
        missing = doctor("--config", place.ingest(mosquitto.port, shim.url, "right"))
        influx.query('CREATE DATABASE "packtap"')
        assert influx.query("SHOW MEASUREMENTS") == []  # not one point was written
    gone = doctor("--config", place.ingest(mosquitto.port, shim.url, "right"))
    assert (right.code, right.verdict["verdict"]) == (0, "fine")
    assert right.outcome("store token and bucket") == "pass"
    assert "ingest has no serial line" in right.check("bytes")["seen"]
    assert right.outcome("publishing") == "not tried"
    assert (wrong.code, wrong.outcome("store token and bucket")) == (1, "fail")
    assert "token" in wrong.check("store token and bucket")["means"]
    assert missing.outcome("store token and bucket") == "fail"
    assert "bucket" in missing.check("store token and bucket")["means"]
    assert gone.outcome("store answers") == "fail"
    assert gone.outcome("store token and bucket") == "not tried"


def test_another_web_server_is_not_taken_for_a_store(mosquitto: Mosquitto, place: Place) -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"],
        cwd=place.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        port = server.stdout.readline().split(" port ")[1].split()[0]
        ran = doctor("--config", place.ingest(mosquitto.port, f"http://127.0.0.1:{port}", "x"))
        server.terminate()
    assert ran.outcome("store token and bucket") == "fail"


def test_a_store_that_answers_rubbish_is_said_to_give_no_answer(
    mosquitto: Mosquitto, place: Place
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"\x00\x01\x02 rubbish\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        ran = doctor("--config", place.ingest(mosquitto.port, url, "x"))
        thread.join()
    assert ran.outcome("store answers") == "fail"


def test_a_host_that_cannot_be_one_is_said(place: Place) -> None:
    path = Path(place.agent(1883))
    path.write_text(path.read_text().replace('"127.0.0.1"', '"a..b"'))
    ran = doctor("--config", str(path))
    assert "a..b is not known" in ran.check("broker reachable")["seen"]


def test_the_embedded_store_is_tried(mosquitto: Mosquitto, place: Place) -> None:
    path = place.folder / "ingest.toml"
    path.write_text(
        f'[mqtt]\nhost = "127.0.0.1"\nport = {mosquitto.port}\n'
        f'[sqlite]\npath = "{place.folder}/ingest.db"\nmax_mb = 16\n'
        f'[dead_letter]\npath = "{place.folder}/dead.jsonl"\n'
    )
    ran = doctor("--config", str(path))
    assert ran.outcome("store answers") == "pass"
    assert not (place.folder / "ingest.db").exists()


# A whole Pi that works.


def test_a_scooter_with_its_broker_and_ingest_is_fine(mosquitto: Mosquitto, place: Place) -> None:
    reads = [read for read in scooter(Dialect.XIAOMI, 12.0) if read[1] == "bms"]
    with RateAwarePty(reads) as end, subscribe(mosquitto.port):
        config = Path(place.agent(mosquitto.port))
        config.write_text(config.read_text().replace(f"{place.folder}/no-port", end.device))
        ran = doctor("--config", str(config))
    assert (ran.code, ran.verdict["verdict"]) == (0, "pack_heard"), ran.verdict
    assert SERIAL not in json.dumps(ran.lines)  # a doctor's report may be shown around
    # Fine is said of what was tried, and the rest is named.
    assert {"own echo", "buffer"} <= set(ran.verdict["not_tried"])


def test_wrong_configurations_and_options_exit_2(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("site = 3\n")
    assert doctor("--config", str(tmp_path / "x.toml")).code == 2
    assert doctor("--baud", "fast").code == 2
    assert doctor("--baud", "1").code == 2
