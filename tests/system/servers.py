"""Real servers for the tests: mosquitto, InfluxDB 1.x, a v2-write shim, VictoriaMetrics.

Every server keeps its files below the directory it is given, and can be killed with signal 9 and
started again on the same port and the same files. `system.process` says what "started" means;
`system.faults` holds the faulty network. Both are re-exported here.
"""

import json
import os
import subprocess
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from system.faults import Fault, FaultProxy, start_fault_proxy
from system.process import HOST, Server, ServerError, binary, eventually, free_ports, http, running

__all__ = [
    "HOST",
    "Certificates",
    "Fault",
    "FaultProxy",
    "InfluxDB",
    "Mosquitto",
    "Server",
    "ServerError",
    "V2Shim",
    "VictoriaMetrics",
    "eventually",
    "free_ports",
    "make_certificates",
    "start_fault_proxy",
    "start_influxdb",
    "start_mosquitto",
    "start_v2_shim",
    "start_victoria_metrics",
]

#: The broker's settings as they are deployed.
_DEPLOYED = Path(__file__).parents[2] / "deploy" / "mosquitto" / "packtap.conf"

# --- mosquitto ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Certificates:
    """An own CA, a server certificate for localhost and one client certificate a device."""

    directory: Path

    @property
    def ca(self) -> Path:
        """The certificate that both sides trust."""
        return self.directory / "ca.crt"

    def cert(self, name: str) -> Path:
        """Certificate of `server` or of a device."""
        return self.directory / f"{name}.crt"

    def key(self, name: str) -> Path:
        """Private key of `server` or of a device."""
        return self.directory / f"{name}.key"


def make_certificates(directory: Path, devices: Sequence[str]) -> Certificates:
    """Make a CA, a server certificate and client certificates whose common names are `devices`."""
    directory.mkdir(parents=True, exist_ok=True)
    openssl = binary("openssl", "openssl")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

    def run(*arguments: str) -> None:
        done = subprocess.run(
            [openssl, *arguments], cwd=directory, capture_output=True, check=False
        )
        if done.returncode:
            raise ServerError(f"openssl {arguments[0]}: {done.stderr.decode(errors='replace')}")

    run(
        *("req", "-x509", *curve, "-days", "3650", "-subj", "/CN=test CA"),
        *("-keyout", "ca.key", "-out", "ca.crt"),
        *("-addext", "basicConstraints=critical,CA:TRUE"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )
    server = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"
    client = "extendedKeyUsage=clientAuth\n"
    for name, extension in [("server", server), *((device, client) for device in devices)]:
        (directory / f"{name}.ext").write_text(extension)
        run(
            *("req", *curve, "-subj", f"/CN={name}"),
            *("-keyout", f"{name}.key", "-out", f"{name}.csr"),
        )
        run(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-days", "825", "-extfile", f"{name}.ext", "-out", f"{name}.crt"),
        )
    return Certificates(directory)


class Mosquitto(Server):
    """A broker that keeps every queued and retained message over kill -9.

    Attributes:
        port: plain listener.
        tls_port: listener with client certificates, common name = user name; None without.
        certificates: None without TLS.
    """

    tls_port: int | None = None
    certificates: Certificates | None = None


@contextmanager
def start_mosquitto(
    tmp: Path,
    *,
    acl: str | None = None,
    passwords: Mapping[str, str] | None = None,
    tls_devices: Sequence[str] = (),
    extra: str = "",
) -> Iterator[Mosquitto]:
    """Run a broker in `tmp`/mosquitto.

    Args:
        tmp: directory for its files.
        acl: text of an ACL file; for the TLS listener if there is one, else for the plain one.
        passwords: user -> password; the plain listener then refuses everybody else.
        tls_devices: common names; not empty = a second listener that wants their certificates.
        extra: more lines of general configuration.
    """
    directory = tmp / "mosquitto"
    (directory / "data").mkdir(parents=True, exist_ok=True)
    plain, tls = free_ports(2)
    lines = [
        "per_listener_settings true",
        f"persistence_location {directory}/data/",
        _DEPLOYED.read_text(),
        extra,
    ]
    if os.geteuid() == 0:
        lines.insert(0, "user root")  # else it drops privileges and cannot write its files
    access = []
    if acl is not None:
        (directory / "acl").write_text(acl)
        access = [f"acl_file {directory}/acl"]
    lines += [f"listener {plain} {HOST}"]
    if passwords is not None:
        file = directory / "passwords"
        file.write_text("".join(f"{user}:{word}\n" for user, word in passwords.items()))
        file.chmod(0o600)
        subprocess.run(
            [binary("mosquitto_passwd", "mosquitto"), "-U", str(file)],
            check=True,
            capture_output=True,
        )
        lines += [f"password_file {file}"]
    lines += [f"allow_anonymous {'true' if passwords is None else 'false'}"]
    certificates = None
    if tls_devices:
        certificates = make_certificates(directory / "certificates", tls_devices)
        lines += [
            f"listener {tls} {HOST}",
            f"cafile {certificates.ca}",
            f"certfile {certificates.cert('server')}",
            f"keyfile {certificates.key('server')}",
            "require_certificate true",
            "use_identity_as_username true",
            "allow_anonymous false",
        ]
    lines += access
    configuration = directory / "mosquitto.conf"
    configuration.write_text("\n".join(lines) + "\n")
    server = Mosquitto(
        "mosquitto",
        [binary("mosquitto", "mosquitto"), "-c", str(configuration), "-v"],
        directory,
        [plain, tls] if tls_devices else [plain],
    )
    if tls_devices:
        server.tls_port = tls
        server.certificates = certificates
    with running(server):
        yield server


# --- InfluxDB 1.x and the v2-write shim -----------------------------------------------------------


class InfluxDB(Server):
    """InfluxDB 1.x. `ports` are HTTP and the (unused) backup service."""

    @property
    def url(self) -> str:
        """Base address of its own 1.x API."""
        return f"http://{HOST}:{self.port}"

    def answers(self) -> bool:
        """Return whether /ping answers as InfluxDB."""
        try:
            status, headers, _ = http(self.url + "/ping", timeout_s=2)
        except OSError:
            return False
        return status == 204 and "X-Influxdb-Version" in headers

    def query(self, text: str, database: str = "packtap") -> list[dict[str, Any]]:
        """Return the series of one InfluxQL statement; times are UTC milliseconds.

        Each series is `{"name": ..., "tags": {...}, "columns": [...], "values": [[...], ...]}`.
        """
        form = urllib.parse.urlencode({"db": database, "q": text, "epoch": "ms"}).encode()
        status, _, body = http(self.url + "/query", data=form)
        answer = json.loads(body)
        error = answer.get("error") or answer["results"][0].get("error")
        if status != 200 or error:
            raise ServerError(f"{text}: {status} {error}")
        series: list[dict[str, Any]] = answer["results"][0].get("series", [])
        return series

    def rows(self, text: str, database: str = "packtap") -> list[dict[str, Any]]:
        """Return every row of every series as column and tag name -> value."""
        return [
            {**series.get("tags", {}), **dict(zip(series["columns"], row, strict=True))}
            for series in self.query(text, database)
            for row in series["values"]
        ]


@contextmanager
def start_influxdb(tmp: Path, database: str = "packtap") -> Iterator[InfluxDB]:
    """Run InfluxDB 1.x in `tmp`/influxdb with one empty database."""
    directory = tmp / "influxdb"
    directory.mkdir(parents=True, exist_ok=True)
    api, rpc = free_ports(2)
    configuration = directory / "influxdb.conf"
    configuration.write_text(f"""\
reporting-disabled = true
bind-address = "{HOST}:{rpc}"
[meta]
  dir = "{directory}/meta"
[data]
  dir = "{directory}/data"
  wal-dir = "{directory}/wal"
  index-version = "tsi1"
  wal-fsync-delay = "0s"
  query-log-enabled = false
[http]
  bind-address = "{HOST}:{api}"
  log-enabled = false
[monitor]
  store-enabled = false
[subscriber]
  enabled = false
[continuous_queries]
  log-enabled = false
""")
    server = InfluxDB(
        "influxdb",
        [binary("influxd", "influxdb"), "-config", str(configuration)],
        directory,
        [api, rpc],
    )
    with running(server):
        server.query(f'CREATE DATABASE "{database}"')
        yield server


class V2Shim(Server):
    """nginx that maps /api/v2/write onto the 1.x write endpoint; everything else passes through.

    `answers` asks /health, which the shim answers itself, so it may start before the store.
    """

    @property
    def url(self) -> str:
        """Base address for an InfluxDB v2 client."""
        return f"http://{HOST}:{self.port}"

    def answers(self) -> bool:
        """Return whether /health answers as this shim."""
        try:
            status, _, body = http(self.url + "/health", timeout_s=2)
        except OSError:
            return False
        return status == 200 and json.loads(body).get("version") == f"shim-{self.port}"


@contextmanager
def start_v2_shim(tmp: Path, influx: InfluxDB, token: str | None = None) -> Iterator[V2Shim]:
    """Run the shim in `tmp`/shim in front of `influx`.

    Args:
        tmp: directory for its files.
        influx: the store behind it.
        token: answer 401 to a write without exactly this token; None = take any.
    """
    directory = tmp / "shim"
    directory.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    check = f'if ($http_authorization != "Token {token}") {{ return 401; }}' if token else ""
    temporary = " ".join(
        f"{kind}_temp_path {directory}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    write = f"{influx.url}/write?db=$v1db$v1rp&precision=$v1prec"
    health = f'{{"name":"influxdb","status":"pass","version":"shim-{port}"}}'
    user = "user root;" if os.geteuid() == 0 else ""
    configuration = directory / "nginx.conf"
    configuration.write_text(f"""\
daemon off; master_process off; {user} pid {directory}/nginx.pid;
error_log {directory}/shim.log; worker_processes 1; events {{ worker_connections 64; }}
http {{ access_log off; {temporary} client_max_body_size 32m;
  map $arg_bucket $v1db {{ "~^(?<a>[^%/]+)" $a; }}
  map $arg_bucket $v1rp {{ default ""; "~^[^%/]+(?:%2F|%2f|/)(?<b>.+)$" "&rp=$b"; }}
  map $arg_precision $v1prec {{ default n; us u; ms ms; s s; }}
  server {{ listen {HOST}:{port};
    location = /api/v2/write {{ {check} proxy_pass {write}; }}
    location = /health {{ default_type application/json; return 200 '{health}'; }}
    location / {{ proxy_pass {influx.url}; }} }} }}
""")
    server = V2Shim(
        "shim",
        [
            binary("nginx", "nginx-light"),
            *("-c", str(configuration), "-p", str(directory), "-e", str(directory / "shim.log")),
        ],
        directory,
        [port],
    )
    with running(server):
        yield server


# --- VictoriaMetrics ------------------------------------------------------------------------------


class VictoriaMetrics(Server):
    """A second v2-write target: numbers only (a text field becomes 0), times in milliseconds."""

    @property
    def url(self) -> str:
        """Base address for an InfluxDB v2 client."""
        return f"http://{HOST}:{self.port}"

    def answers(self) -> bool:
        """Return whether /health says OK."""
        try:
            status, _, body = http(self.url + "/health", timeout_s=2)
        except OSError:
            return False
        return status == 200 and body == b"OK"

    def export(self, match: str) -> list[dict[str, Any]]:
        """Return every series that `match` selects, freshly flushed.

        Each is `{"metric": {"__name__": "pack_voltage_v", tags...}, "values": [...],
        "timestamps": [ms, ...]}`.
        """
        http(self.url + "/internal/force_flush")
        form = urllib.parse.urlencode({"match[]": match})
        _, _, body = http(f"{self.url}/api/v1/export?{form}")
        return [json.loads(line) for line in body.splitlines()]


@contextmanager
def start_victoria_metrics(tmp: Path) -> Iterator[VictoriaMetrics]:
    """Run VictoriaMetrics in `tmp`/victoria; a sample written twice is kept once."""
    directory = tmp / "victoria"
    directory.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    server = VictoriaMetrics(
        "victoria",
        [
            binary("victoria-metrics", "victoria-metrics"),
            *("-storageDataPath", str(directory / "data")),
            *("-httpListenAddr", f"{HOST}:{port}"),
            *("-retentionPeriod", "100y"),
            *("-search.latencyOffset", "0s"),
            *("-dedup.minScrapeInterval", "1ms"),
            *("-memory.allowedPercent", "5"),
        ],
        directory,
        [port],
    )
    with running(server):
        yield server
