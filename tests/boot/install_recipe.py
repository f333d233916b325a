"""Runs deploy/install.sh in a booted systemd container, and prints what it did.

    PYTHONPATH=tests python -m boot.install_recipe     as root; Debian 12 with systemd-container

A small Debian without packtap, without compiler and without network; beside it this checkout, the
same under a higher number, a third that does not start, and the Python packages as files.
`install_guest.py` runs inside.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from boot.recipe import CACHE, HERE, ROOT, installed, run, show, start

PARTS: Final = ("agent", "protocol", "systemd", "deploy", "pyproject.toml", "README.md", "LICENSE")
GUEST_UNIT: Final = """[Unit]
Description=checks of deploy/install.sh
After=dbus.service multi-user.target
[Service]
Type=exec
ExecStart=/usr/bin/python3 /opt/boot/install_guest.py
StandardOutput=append:/opt/boot/log
StandardError=append:/opt/boot/log
[Install]
WantedBy=multi-user.target
"""
#: What the Pi's own boot folder looks like.
BOOT: Final = {
    "boot/firmware/config.txt": "dtparam=audio=on\n\n[pi4]\narm_boost=1\n\n[all]\n",
    "boot/firmware/cmdline.txt": "console=serial0,115200 console=tty1 root=PARTUUID=0 rootwait\n",
}


def main() -> int:
    """Make the system, boot it, print the table."""
    if os.geteuid() != 0 or shutil.which("systemd-nspawn") is None:
        print("make install-boot needs root, and: apt-get install systemd-container debootstrap")
        return 2
    wheels = installed() / "opt/wheels"
    system = CACHE / "install-system"
    shutil.rmtree(system, ignore_errors=True)
    run("cp", "-a", "--reflink=auto", str(CACHE / "base"), str(system))
    shutil.copytree(wheels, system / "opt/wheels")
    checkouts(system / "opt")
    for name, text in BOOT.items():
        path = system / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    boot = system / "opt/boot"
    boot.mkdir()
    for script in ("install_guest.py", "scooter.py"):
        shutil.copy(HERE / script, boot)
    enrolment(system / "opt/pi-01.packtap.toml")
    (system / "etc/systemd/system/install-guest.service").write_text(GUEST_UNIT)
    run("chroot", str(system), "systemctl", "enable", "-q", "install-guest", "mosquitto")
    print("# What deploy/install.sh does in a booted system\n")
    print(
        "Printed by `make install-boot` (tests/boot/install_recipe.py says what that is): Debian 12"
    )
    print(
        "on this machine's processor, no Raspberry Pi. The packages come from a folder (--wheels),"
    )
    print("since the container has no network.\n", flush=True)
    start(system, most_s=1500)  # four environments are built in it; here that takes four minutes
    return show(boot, "end of the checks")


def enrolment(out: Path) -> None:
    """Let a fleet make the file of a device."""
    packtap = str(Path(sys.executable).with_name("packtap"))
    fleet = CACHE / "fleet"
    shutil.rmtree(fleet, ignore_errors=True)
    run(packtap, "fleet", "init", "--broker", "127.0.0.1", "--dir", str(fleet))
    run(packtap, "fleet", "enrol", "pi-01", "--dir", str(fleet), "--out", str(out))


def checkouts(folder: Path) -> None:
    """Put three versions there: this one, a higher number, one that does not start."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name, number in (("v1", "0.1.0"), ("v2", "0.1.1"), ("broken", "0.1.2")):
        place = folder / name
        place.mkdir()
        for part in PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, place / part, ignore=ignored)
            else:
                shutil.copy(ROOT / part, place / part)
        project = place / "pyproject.toml"
        text = project.read_text()
        assert text.count('\nversion = "') == 1
        before = text.partition('\nversion = "')[2].partition('"')[0]
        project.write_text(text.replace(f'\nversion = "{before}"', f'\nversion = "{number}"'))
    (folder / "broken/agent/packtap/__init__.py").write_text("raise SystemExit('does not start')\n")


if __name__ == "__main__":
    sys.exit(main())
