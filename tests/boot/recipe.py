"""Boots a real systemd with packtap's own units, and prints what it did (the long form of tests).

    python tests/boot/recipe.py     as root; Debian 12 or newer with systemd-container

A small Debian in a container: packtap from this checkout's wheel in /opt/packtap, the units put
there by the commands of systemd/README.md, emulated scooters on two buses, mosquitto with a
password. `guest.py` runs inside, once in a boot that ends without a goodbye in the middle, and once
in the next one. The files of the base system are kept in .cache/boot.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
HERE: Final = Path(__file__).parent
CACHE: Final = ROOT / ".cache" / "boot"
PACKAGES: Final = "systemd,systemd-sysv,dbus,udev,python3,python3-venv,mosquitto,sqlite3"
SECONDS: Final = 400  #: a boot with its checks takes two minutes here

CONFIG: Final = """site = "workshop"
agent = "pi-01"
bus = "{bus}"
clock = "trusted"
[lines.bms]
port = "/run/scooter/{bus}-bms"
[lines.esc]
port = "/run/scooter/{bus}-esc"
[mqtt]
host = "127.0.0.1"
username = "pi-01"
password_file = "mqtt-password"
[store]
flush_s = 1
"""
FILES: Final = {
    "etc/packtap/agent-bay-1.toml": CONFIG.format(bus="bay-1"),
    "etc/packtap/agent-bay-2.toml": CONFIG.format(bus="bay-2"),
    "etc/packtap/ingest.toml": """[mqtt]
host = "127.0.0.1"
username = "ingest"
password_file = "mqtt-password"
[sqlite]
""",
    "etc/packtap/web.toml": "",
    "etc/mosquitto/conf.d/access.conf": """listener 1883 127.0.0.1
allow_anonymous false
password_file /etc/mosquitto/passwords
""",
    # What the kernel says to this service about its clock: allowed in ingest, not in the agent.
    "etc/systemd/system/packtap-.service.d/ask.conf": """[Service]
ExecStartPre=/opt/packtap/bin/python /opt/boot/adjtimex.py /run/packtap/adjtimex-%N
""",
    # The scooter: what a USB adapter would be, on pseudo-terminals behind lasting names.
    "etc/systemd/system/scooter@.service": """[Unit]
Description=emulated scooter on the bus %i (simulated, no real one)
[Service]
User=packtap
RuntimeDirectory=scooter
RuntimeDirectoryPreserve=yes
ExecStart=/opt/packtap/bin/python /opt/boot/scooter.py %i
KillSignal=SIGINT
""",
    "etc/systemd/system/guest.service": """[Unit]
Description=checks of packtap's units
After=dbus.service
[Service]
Type=exec
ExecStart=/opt/packtap/bin/python /opt/boot/guest.py
StandardOutput=append:/opt/boot/log
StandardError=append:/opt/boot/log
[Install]
WantedBy=multi-user.target
""",
}
ENABLED: Final = ("guest", "packtap-agent@bay-1", "packtap-agent@bay-2", "packtap-web")


def main() -> int:
    """Make the system, boot it twice, print the table."""
    if os.geteuid() != 0 or shutil.which("systemd-nspawn") is None:
        print("make boot needs root, and: apt-get install systemd-container debootstrap")
        return 2
    system = CACHE / "system"
    if system.exists():
        shutil.rmtree(system)
    run("cp", "-a", "--reflink=auto", str(installed()), str(system))
    furnish(system)
    for boot in (1, 2):
        print(f"boot {boot} ...", file=sys.stderr)
        (system / "opt/boot/boot").write_text(str(boot))
        start(system)
        if not (system / "opt/boot/noted.json").exists():
            break  # the first boot did not come to its end
    return show(system / "opt/boot")


def run(*words: str) -> str:
    """Run a command; its output is shown if it fails."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def installed() -> Path:
    """Return a Debian with the packages of requirements.lock in /opt/packtap."""
    lock = (ROOT / "requirements.lock").read_bytes()
    system = CACHE / f"with-{hashlib.sha256(lock).hexdigest()[:12]}"
    if system.exists():
        return system
    base = CACHE / "base"
    if not base.exists():
        print("debootstrap: a minute or two ...", file=sys.stderr)
        CACHE.mkdir(parents=True, exist_ok=True)
        sources = Path("/etc/apt/sources.list.d/debian.sources")
        mirror = re.findall(r"^URIs: (\S+)", sources.read_text() if sources.exists() else "", re.M)
        fresh = CACHE / "base.part"
        words = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm"]
        run(*words, str(fresh), *mirror[:1])
        fresh.rename(base)
    part = system.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    run("cp", "-a", "--reflink=auto", str(base), str(part))
    pip = str(Path(sys.executable).with_name("pip"))
    wheels = part / "opt/wheels"
    run(pip, "download", "-q", "-r", "requirements.lock", "--require-hashes", "-d", str(wheels))
    run("chroot", str(part), "python3", "-m", "venv", "/opt/packtap")
    found = [f"/opt/wheels/{wheel.name}" for wheel in wheels.glob("*.whl")]
    run("chroot", str(part), "/opt/packtap/bin/pip", "install", "-q", "--no-index", *found)
    part.rename(system)
    return system


def furnish(system: Path) -> None:
    """Install packtap from this checkout as systemd/README.md says, and what surrounds it."""
    wheels = CACHE / "wheel"
    shutil.rmtree(wheels, ignore_errors=True)
    pip = str(Path(sys.executable).with_name("pip"))
    run(pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(wheels), ".")
    (wheel,) = wheels.glob("*.whl")
    shutil.copytree(ROOT / "systemd", system / "opt/checkout/systemd")
    shutil.copy(wheel, system / "opt/wheels")
    chroot = ("chroot", str(system), "/bin/sh", "-euc")
    install = "/opt/packtap/bin/pip install -q --no-index --no-deps --force-reinstall"
    run(*chroot, f"{install} /opt/wheels/{wheel.name}")
    (commands,) = re.findall(
        r"<!-- units -->\n```sh\n(.*?)```", (ROOT / "systemd/README.md").read_text(), re.DOTALL
    )
    run(*chroot, f"cd /opt/checkout\n{commands}")
    for name, text in FILES.items():
        path = system / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copy(ROOT / "deploy/mosquitto/packtap.conf", system / "etc/mosquitto/conf.d")
    secrets(system, {"pi-01": "packtap", "ingest": "packtap.ingest"})
    boot = system / "opt/boot"
    boot.mkdir()
    for script in ("guest.py", "scooter.py", "adjtimex.py"):
        shutil.copy(HERE / script, boot)
    run(*chroot, f"systemctl enable -q mosquitto packtap-ingest {' '.join(ENABLED)}")


def secrets(system: Path, users: dict[str, str]) -> None:
    """Give each MQTT user a password that only root and the broker can read."""
    store = system / "etc/credstore"
    store.mkdir(mode=0o700, exist_ok=True)
    passwords = system / "etc/mosquitto/passwords"
    passwords.touch()
    for user, name in users.items():
        secret = store / f"{name}.mqtt-password"
        secret.write_text(f"secret of {user}\n")
        secret.chmod(0o600)
        words = ("mosquitto_passwd", "-b", "/etc/mosquitto/passwords", user, f"secret of {user}")
        run("chroot", str(system), *words)
    run("chroot", str(system), "chown", "mosquitto", "/etc/mosquitto/passwords")
    passwords.chmod(0o600)


def start(system: Path, most_s: int = SECONDS) -> None:
    """Boot it, until it switches itself off."""
    words = ["systemd-nspawn", "-q", "-D", str(system), "--register=no", "--keep-unit"]
    words += ["--private-network", "--system-call-filter=@clock", "-b", "--console=pipe"]
    with (CACHE / "console.log").open("ab") as log:
        subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=most_s, check=False
        )


def show(boot: Path, last: str = "end of the second boot") -> int:
    """Print the table; 1 if anything in it went wrong."""
    results = boot / "results.jsonl"
    rows = (
        [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    )
    print("| boot | check | result | figure |\n| --- | --- | --- | --- |")
    for row in rows:
        print(f"| {row['boot']} | {row['check']} | {row['result']} | {row['figure']} |")
    is_whole = bool(rows) and rows[-1]["check"] == last
    if not is_whole:
        print(f"\nThe {last} was not reached. {boot}/log ends with:\n")
        print((boot / "log").read_text()[-3000:] if (boot / "log").exists() else "(nothing)")
    return 0 if is_whole and all(row["result"] == "good" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
