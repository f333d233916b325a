"""`packtap fleet`: from an empty folder to a member, and out again."""

import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from packtap.certificates import read_certificate
from packtap.cli import main
from packtap.errors import FleetError
from packtap.fleet.enrolment import install, read_enrolment
from packtap.fleet.folder import FleetFolder
from packtap.fleet.ledger import Ledger, State

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
DEPLOYED = Path(__file__).parents[2] / "deploy" / "mosquitto"


@pytest.fixture
def fleet(tmp_path: Path) -> FleetFolder:
    folder = FleetFolder(tmp_path / "fleet", broker_user="nobody-of-this-name")
    folder.init(["broker.example.org", "10.0.0.5"], 8883, NOW)
    return folder


def openssl(*arguments: object) -> str:
    done = subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_private_keys_are_readable_by_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    folder, out, tls = tmp_path / "fleet", tmp_path / "pi-01.packtap.toml", tmp_path / "tls"
    before = os.umask(0)
    try:
        assert main(["fleet", "init", "--broker", "localhost", "--dir", str(folder)]) == 0
        assert main(["fleet", "enrol", "pi-01", "--dir", str(folder), "--out", str(out)]) == 0
        assert main(["fleet", "install", str(out), "--dir", str(tls)]) == 0
    finally:
        os.umask(before)
    secrets = ("fleet/ca.key", "fleet/broker/broker.key", "fleet/ingest/ingest.key")
    for name in (*secrets, "pi-01.packtap.toml", "tls/device.key"):
        assert mode(tmp_path / name) == 0o600, name
    for path in tmp_path.rglob("*"):
        assert not mode(path) & 0o022 or (path.name == ".lock" and mode(path) == 0o666), path


def test_openssl_believes_what_the_authority_has_signed_and_for_its_purpose_only(
    fleet: FleetFolder, tmp_path: Path
) -> None:
    enrolment, _ = fleet.enrol("pi-01", None, datetime.now(UTC))
    installed = install(enrolment, tmp_path / "tls", None)
    ca, device, broker = fleet.path / "ca.crt", installed.certificate, fleet.path / "broker"
    verify = ("verify", "-x509_strict", "-CAfile", ca)
    assert "OK" in openssl(*verify, "-purpose", "sslclient", device)
    assert "unsuitable" in openssl(*verify, "-purpose", "sslserver", device)
    assert "OK" in openssl(*verify, "-purpose", "sslserver", broker / "broker.crt")
    assert "unsuitable" in openssl(*verify, "-purpose", "sslclient", broker / "broker.crt")
    for host, answer in (("broker.example.org", "OK"), ("elsewhere.example.org", "mismatch")):
        assert answer in openssl(*verify, "-verify_hostname", host, broker / "broker.crt")
    assert "OK" in openssl(*verify, "-verify_ip", "10.0.0.5", broker / "broker.crt")
    assert read_certificate(device).common_name == "pi-01"


def test_revoked_certificate_is_in_the_list_and_its_name_is_shut_out(
    fleet: FleetFolder, tmp_path: Path
) -> None:
    for name in ("pi-01", "pi-02"):
        install(fleet.enrol(name, None, datetime.now(UTC))[0], tmp_path / name, None)
    assert len(fleet.revoke("pi-01", datetime.now(UTC))) == 1
    assert fleet.revoke("pi-01", datetime.now(UTC)) == ()
    check = ("verify", "-crl_check", "-CAfile", fleet.path / "ca.crt", "-CRLfile")
    revoked = fleet.path / "broker" / "revoked.pem"
    assert "certificate revoked" in openssl(*check, revoked, tmp_path / "pi-01" / "device.crt")
    assert "OK" in openssl(*check, revoked, tmp_path / "pi-02" / "device.crt")
    access = (fleet.path / "broker" / "access.acl").read_text()
    assert access.endswith("user pi-01\ntopic deny #\n")
    assert "pi-02" not in access


def test_revoked_name_that_is_enrolled_anew_comes_in_and_its_old_certificate_stays_out(
    fleet: FleetFolder, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    install(fleet.enrol("pi-01", None, now)[0], tmp_path / "old", None)
    fleet.revoke("pi-01", now)
    enrolment, was_shut_out = fleet.enrol("pi-01", None, now)
    assert was_shut_out
    install(enrolment, tmp_path / "new", None)
    assert "deny" not in (fleet.path / "broker" / "access.acl").read_text()
    check = ("verify", "-crl_check", "-CAfile", fleet.path / "ca.crt", "-CRLfile")
    revoked = fleet.path / "broker" / "revoked.pem"
    assert "certificate revoked" in openssl(*check, revoked, tmp_path / "old" / "device.crt")
    assert "OK" in openssl(*check, revoked, tmp_path / "new" / "device.crt")


def test_access_list_beside_the_broker_s_files_is_the_one_that_is_written(
    fleet: FleetFolder,
) -> None:
    written = (fleet.path / "broker" / "access.acl").read_text()
    assert written == (DEPLOYED / "access.acl").read_text()


def test_device_that_makes_its_own_key_never_hands_it_out(
    fleet: FleetFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["fleet", "enrol", "--help"])
    (command,) = (
        part
        for part in capsys.readouterr().out.replace("\\\n", " ").splitlines()
        if part.strip().startswith("openssl")
    )
    device = tmp_path / "device"
    device.mkdir()
    words = command.replace("AGENT", "pi-07").split()
    subprocess.run(words, cwd=device, check=True, capture_output=True)
    request = (device / "pi-07.csr").read_bytes()
    enrolment, _ = fleet.enrol("pi-07", request, NOW)
    assert enrolment.key is None
    assert b"PRIVATE" not in enrolment.dump()
    installed = install(enrolment, tmp_path / "tls", device / "device.key")
    assert installed.key.read_bytes() == (device / "device.key").read_bytes()
    assert mode(installed.key) == 0o600


@pytest.mark.parametrize(
    ("options", "subject", "said"),
    [
        ("ec -pkeyopt ec_paramgen_curve:prime256v1", "pi-08", "is of 'pi-08', not of 'pi-07'"),
        ("rsa:1024", "pi-07", "too weak"),
        ("ec -pkeyopt ec_paramgen_curve:secp192k1", "pi-07", "not supported"),
    ],
    ids=["another-name", "short-rsa", "small-curve"],
)
def test_request_that_is_not_sound_is_refused(
    fleet: FleetFolder, tmp_path: Path, options: str, subject: str, said: str
) -> None:
    out = tmp_path / "r.csr"
    kind, *more = options.split()
    where = ("-nodes", "-subj", f"/CN={subject}", "-keyout", tmp_path / "k", "-out", out)
    openssl("req", "-new", "-newkey", kind, *more, *where)
    with pytest.raises(FleetError, match=said):
        fleet.enrol("pi-07", out.read_bytes(), NOW)
    assert fleet.ledger().of_agent("pi-07") == ()


@pytest.mark.parametrize(
    "damage",
    [lambda text: b"", lambda text: text[:80], lambda text: text.replace(b"A", b"B")],
    ids=["empty", "half", "changed"],
)
def test_damaged_request_is_refused(fleet: FleetFolder, tmp_path: Path, damage: object) -> None:
    out = tmp_path / "r.csr"
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-new", *curve, "-subj", "/CN=pi-07", "-keyout", tmp_path / "k", "-out", out)
    assert callable(damage)
    with pytest.raises(FleetError, match="request"):
        fleet.enrol("pi-07", damage(out.read_bytes()), NOW)


@pytest.mark.parametrize("name", ["", "Pi-01", "../pi", "pi/01", "pi+", "#", "x" * 65, "pi 01"])
def test_name_that_cannot_be_a_topic_level_is_refused(fleet: FleetFolder, name: str) -> None:
    with pytest.raises(FleetError, match="agent"):
        fleet.enrol(name, None, NOW)


def test_no_device_can_be_enrolled_as_ingest(fleet: FleetFolder) -> None:
    with pytest.raises(FleetError, match="name of ingest"):
        fleet.enrol("packtap-ingest", None, NOW)


def test_enrolling_twice_needs_a_word_and_a_renewal_keeps_the_old_one_until_its_end(
    fleet: FleetFolder,
) -> None:
    fleet.enrol("pi-01", None, NOW)
    with pytest.raises(FleetError, match=r"enrolled until 2029-05-03.*--renew"):
        fleet.enrol("pi-01", None, NOW)
    fleet.enrol("pi-01", None, NOW, again=True)
    ledger = fleet.ledger()
    old, new = ledger.of_agent("pi-01")
    assert (ledger.state(old, NOW), ledger.state(new, NOW)) == (State.REPLACED, State.VALID)
    assert len(fleet.revoke("pi-01", NOW)) == 2


def test_second_init_would_shut_out_every_device_and_is_refused(fleet: FleetFolder) -> None:
    before = (fleet.path / "ca.crt").read_bytes()
    with pytest.raises(FleetError, match="already"):
        fleet.init(["localhost"], 8883, NOW)
    assert (fleet.path / "ca.crt").read_bytes() == before
    fleet.renew(NOW)
    assert (fleet.path / "ca.crt").read_bytes() == before
    assert "OK" in openssl(
        "verify",
        "-no_check_time",
        "-CAfile",
        fleet.path / "ca.crt",
        fleet.path / "broker/broker.crt",
    )


def test_list_warns_thirty_days_before_an_end_and_exits_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = FleetFolder(tmp_path)
    now = datetime.now(UTC)
    fleet.init(["localhost"], 8883, now)
    fleet.enrol("pi-01", None, now)
    assert main(["fleet", "list", "--dir", str(tmp_path)]) == 0
    fleet.enrol("pi-02", None, now, days=29)
    capsys.readouterr()
    assert main(["fleet", "list", "--dir", str(tmp_path), "--json"]) == 1
    rows = {row["name"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert rows.keys() == {"packtap fleet", "localhost", "packtap-ingest", "pi-01", "pi-02"}
    assert (rows["pi-02"]["state"], rows["pi-02"]["due"]) == ("expires soon", True)
    assert rows["pi-02"]["days_left"] in (28, 29)
    assert (rows["pi-01"]["state"], rows["pi-01"]["due"]) == ("valid", False)
    fleet.enrol("pi-02", None, now, again=True)
    assert main(["fleet", "list", "--dir", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "replaced" in shown
    assert "1094 days left" in shown or "1095 days left" in shown


def test_revoked_and_expired_certificates_are_told_apart() -> None:
    late = NOW + timedelta(days=2000)
    ledger = Ledger(("h",), 1).with_issued(
        Ledger.parse(
            b'{"format":1,"hosts":["h"],"port":1,"issued":[{"role":"agent","name":"pi-01",'
            b'"serial":"a","issued_at":"2026-05-04T12:00:00+00:00",'
            b'"not_after":"2029-05-03T12:00:00+00:00","revoked_at":null}]}'
        ).issued[0]
    )
    (one,) = ledger.issued
    assert ledger.state(one, late) is State.EXPIRED
    assert ledger.is_due(one, late)
    (gone,) = ledger.without("pi-01", NOW).issued
    assert ledger.without("pi-01", NOW).state(gone, late) is State.REVOKED
    assert not ledger.without("pi-01", NOW).is_due(gone, late)


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"format":2}', b'{"format":1}'])
def test_damaged_ledger_is_said_and_nothing_is_written(fleet: FleetFolder, document: bytes) -> None:
    (fleet.path / "ledger.json").write_bytes(document)
    with pytest.raises(FleetError, match="ledger"):
        fleet.enrol("pi-01", None, NOW)
    assert (fleet.path / "ledger.json").read_bytes() == document


def test_key_of_the_authority_that_others_may_read_is_not_used(fleet: FleetFolder) -> None:
    (fleet.path / "ca.key").chmod(0o644)
    with pytest.raises(FleetError, match=f"chmod 600 {fleet.path}/ca.key"):
        fleet.enrol("pi-01", None, NOW)


def test_install_needs_no_package_for_certificates(fleet: FleetFolder, tmp_path: Path) -> None:
    out = tmp_path / "pi-01.packtap.toml"
    out.write_bytes(fleet.enrol("pi-01", None, NOW)[0].dump())
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from packtap.cli import main\n"
        f"sys.exit(main(['fleet', 'install', {str(out)!r}, '--dir', {str(tmp_path / 'tls')!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert 'agent = "pi-01"' in done.stdout
    assert 'host = "broker.example.org"' in done.stdout
    assert "PRIVATE" not in done.stdout + done.stderr


def test_enrolment_of_another_device_s_key_is_refused_and_changes_nothing(
    fleet: FleetFolder, tmp_path: Path
) -> None:
    first, _ = fleet.enrol("pi-01", None, NOW)
    second, _ = fleet.enrol("pi-02", None, NOW)
    install(first, tmp_path / "tls", None)
    before = {path: path.read_bytes() for path in (tmp_path / "tls").iterdir()}
    mixed = tmp_path / "mixed.toml"
    assert first.key
    assert second.key
    mixed.write_bytes(second.dump().replace(second.key.encode(), first.key.encode()))
    with pytest.raises(FleetError, match="do not belong together"):
        install(read_enrolment(mixed), tmp_path / "tls", None)
    mixed.write_bytes(second.dump().replace(b"agent = 'pi-02'", b"agent = 'pi-01'"))
    with pytest.raises(FleetError, match="is of 'pi-02'"):
        install(read_enrolment(mixed), tmp_path / "tls", None)
    assert {path: path.read_bytes() for path in (tmp_path / "tls").iterdir()} == before


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"format = 1",
        b"format = 2",
        b"[" * 5000,
        b"x" * 200_000,
        b"format = 1\nzz = 1",
    ],
)
def test_file_that_is_no_enrolment_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: bytes
) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(text)
    assert main(["fleet", "install", str(file), "--dir", str(tmp_path / "tls")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no enrolment file" in line
    assert not (tmp_path / "tls").exists()


def test_enrol_never_writes_over_a_file_and_signs_nothing_then(
    fleet: FleetFolder, tmp_path: Path
) -> None:
    out = tmp_path / "x.toml"
    out.write_text("mine")
    assert main(["fleet", "enrol", "pi-01", "--dir", str(fleet.path), "--out", str(out)]) == 2
    assert out.read_text() == "mine"
    assert fleet.ledger().of_agent("pi-01") == ()


def test_reload_that_fails_is_a_fault_because_the_broker_does_not_know(
    fleet: FleetFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.enrol("pi-01", None, NOW)
    revoke = ["fleet", "revoke", "pi-01", "--dir", str(fleet.path)]
    assert main(revoke) == 0
    assert "systemctl reload mosquitto" in capsys.readouterr().out
    for command in ("false", "no-such-program-here", "'"):
        assert main([*revoke, "--reload", command]) == 1
        assert "does not know it yet" in capsys.readouterr().err
    assert main([*revoke, "--reload", "true"]) == 0


def test_unknown_agent_cannot_be_revoked_and_no_fleet_is_said(
    fleet: FleetFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fleet", "revoke", "pi-99", "--dir", str(fleet.path)]) == 2
    assert "was ever enrolled" in capsys.readouterr().err
    for words in (["list"], ["enrol", "pi-01"], ["revoke", "pi-01"]):
        assert main(["fleet", *words, "--dir", str(tmp_path / "none")]) == 2
        assert "packtap fleet init" in capsys.readouterr().err


def test_for_a_service_the_key_goes_where_its_unit_loads_it_from(
    fleet: FleetFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = (DEPLOYED.parents[1] / "systemd" / "packtap-agent@.service").read_text()
    out = tmp_path / "pi-01.packtap.toml"
    out.write_bytes(fleet.enrol("pi-01", None, NOW)[0].dump())
    words = ["--dir", str(tmp_path / "tls"), "--credstore", str(tmp_path / "credstore")]
    assert main(["fleet", "install", str(out), *words]) == 0
    (key,) = (tmp_path / "credstore").iterdir()
    assert f"LoadCredential=device.key:{key.name}\n" in unit
    assert mode(key) == 0o600
    assert {path.name for path in (tmp_path / "tls").iterdir()} == {"ca.crt", "device.crt"}
    assert 'key_file = "device.key"' in capsys.readouterr().out
