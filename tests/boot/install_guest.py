"""Inside the container: deploy/install.sh from nothing to nothing, a line of results a check."""

import hashlib
import json
import os
import pwd
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

HERE: Final = Path("/opt/boot")
STORE: Final = Path("/var/lib/packtap/bay-1/packtap.db")
CONFIG: Final = Path("/etc/packtap/agent-bay-1.toml")
UNITS: Final = ("packtap-agent@bay-1", "packtap-web")
WATCHED: Final = ("boot", "etc", "opt", "root", "usr", "var")
#: What a system writes by itself, and the copies that useradd and userdel keep.
IGNORED: Final = (
    "/opt/boot/", "/var/log/", "/var/tmp/", "/var/lib/systemd/", "/var/lib/mosquitto/",
    "/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/.pwd.lock",
    "/etc/.updated", "/var/.updated", "/etc/machine-id",
)  # fmt: skip
FIRST: Final = (
    "--site", "workshop", "--agent", "pi-01", "--bus", "bay-1", "--mode", "listen",
    "--port", "/run/scooter/bay-1-bms", "--broker", "127.0.0.1", "--uart", "yes",
)  # fmt: skip


def told(check: str, is_good: object, figure: object) -> None:
    """Write one row of the table to the disk."""
    row = {"boot": 1, "check": check, "result": "good" if is_good else "BAD", "figure": str(figure)}
    with (HERE / "results.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
        file.flush()
        os.fsync(file.fileno())


def installer(version: str, *words: str) -> tuple[int, str]:
    """Run install.sh of a version, with everything that it says in the log."""
    line = [f"/opt/{version}/deploy/install.sh", *words]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    print(f"$ {' '.join(line)}\n{said}exit {done.returncode}", flush=True)
    return done.returncode, said


def put(version: str, action: str, *words: str) -> tuple[int, str]:
    """Install or upgrade from the packages in the folder."""
    return installer(version, action, "--wheels", "/opt/wheels", *words)


def files() -> dict[str, str]:
    """Return every file with the digest of its content, every link with its target."""
    found = {}
    for top in WATCHED:
        for folder, names, leaves in os.walk(f"/{top}"):
            for path in (Path(folder) / name for name in (*names, *leaves)):
                name = str(path)
                if name.startswith(IGNORED) or "__pycache__" in name:
                    continue
                if path.is_symlink():
                    found[name] = f"-> {path.readlink()}"
                elif path.is_file():
                    found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
                else:
                    found[name] = "folder"
    return found


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return what is new, gone or different."""
    return sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )


def shown(unit: str, name: str) -> str:
    """Return a property of a unit."""
    words = ["systemctl", "show", "--value", "-p", name, unit]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def pids() -> list[str]:
    """Return the main process of each unit."""
    return [shown(unit, "MainPID") for unit in UNITS]


def until(probe: Callable[[], object], most_s: float = 120.0) -> bool:
    """Wait until something is so."""
    end = time.monotonic() + most_s
    while time.monotonic() < end:
        if probe():
            return True
        time.sleep(0.2)
    return False


def works() -> bool:
    """Return whether agent and page say that they work."""
    return until(lambda: all(shown(unit, "ActiveState") == "active" for unit in UNITS))


def runs() -> str:
    """Return the number of the version that both processes really run."""
    found = set()
    for pid in pids():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        found.add(Path(words[0].decode()).parents[1].name.partition("-")[0])
    return " ".join(sorted(found))


def messages() -> set[tuple[str, int]]:
    """Return every message of the store: whose it is, and its number."""
    with closing(sqlite3.connect(f"file:{STORE}?mode=ro", uri=True, timeout=60)) as conn:
        rows = conn.execute(
            "SELECT s.store, m.seq FROM message m JOIN source s ON s.id = m.source"
        ).fetchall()
    return {(str(store), int(seq)) for store, seq in rows}


def told_kept(check: str, before: set[tuple[str, int]]) -> None:
    """Say how many messages are there still."""
    kept = before & messages()
    told(check, kept == before and before, f"{len(kept)} of {len(before)} messages")


def main() -> None:
    """From nothing to nothing."""
    untouched = files()
    installs_twice(untouched)
    upgrades_and_rolls_back()
    enrols()
    leaves_nothing(untouched)
    told("end of the checks", True, "")


def installs_twice(untouched: dict[str, str]) -> None:
    """The first run, and one that must change nothing."""
    code, said = installer("v1", "install", "--dry-run", *FIRST)
    told("--dry-run changes nothing", code == 0 and not changed(untouched, files()),
         f"exit {code}, {said.count('would')} lines of what it would do")  # fmt: skip
    code, said = put("v1", "upgrade")
    told("upgrade of nothing is refused", code == 2, said.strip())
    began = time.monotonic()
    code, _ = put("v1", "install", *FIRST)
    told(
        "install",
        code == 0,
        f"exit {code}, {time.monotonic() - began:.0f} s, no network, no compiler",
    )
    told("agent and page work", works(), runs())
    text = Path("/boot/firmware/config.txt").read_text()
    told("UART after the answer yes", "dtoverlay=disable-bt\nenable_uart=1\n" in text,
         Path("/boot/firmware/cmdline.txt").read_text().strip())  # fmt: skip
    rides()
    before, running = files(), pids()
    code, _ = put("v1", "install", *FIRST)
    different = [
        name for name in changed(before, files()) if not name.startswith("/var/lib/packtap/")
    ]
    told("install again changes no file", code == 0 and not different, different or "none")
    told("and restarts nothing", pids() == running, running)


def rides() -> None:
    """Let an emulated scooter be there, until the store holds readings of it."""
    words = ["systemd-run", "-q", "--unit=scooter", "-p", "User=packtap", "-p", "KillSignal=SIGINT"]
    words += ["-p", "RuntimeDirectory=scooter", "/usr/bin/python3", "/opt/boot/scooter.py", "bay-1"]
    subprocess.run(words, check=True)
    # No time server is here.
    text = CONFIG.read_text().replace('#clock = "auto"', 'clock = "trusted"')
    CONFIG.write_text(text.replace("#flush_s = 10.0", "flush_s = 1"))
    subprocess.run(["systemctl", "restart", UNITS[0]], check=True)
    until(lambda: STORE.exists() and len(messages()) >= 10)
    number = len(messages())
    told("readings of an emulated scooter are stored", number >= 10, f"{number} messages")


def upgrades_and_rolls_back() -> None:
    """To a higher number, to one that does not start, and back."""
    with CONFIG.open("a") as file:
        file.write("# a note of the operator\n")
    mine, kept = CONFIG.read_bytes(), messages()
    code, _ = put("v2", "upgrade")
    told("upgrade", code == 0 and works() and runs() == "0.1.1", f"exit {code}, runs {runs()}")
    running = pids()
    code, said = put("broken", "upgrade")
    told("upgrade to one that does not start is refused", code == 1, said.strip().splitlines()[-1])
    told("the other goes on", works() and pids() == running, f"runs {runs()}")
    there = sorted(path.name.partition("-")[0] for path in Path("/opt/packtap/versions").iterdir())
    told("and nothing of it stays", there == ["0.1.0", "0.1.1"], there)
    good = CONFIG.read_text()
    CONFIG.write_text(good.replace('mode = "listen"', 'mode = "shout"'))
    code, said = installer("v2", "rollback")
    told("rollback is refused while a configuration is wrong", code == 1 and pids() == running,
         said.strip().splitlines()[-1])  # fmt: skip
    CONFIG.write_text(good)
    code, _ = installer("v2", "rollback")
    told("rollback", code == 0 and works() and runs() == "0.1.0", f"exit {code}, runs {runs()}")
    told_kept("no message is lost", kept)
    told("the operator's configuration is untouched", CONFIG.read_bytes() == mine, CONFIG)


def enrols() -> None:
    """Add a second bus with the file of a fleet; that its broker is not here is no fault."""
    before = CONFIG.read_bytes()
    words = ["--site", "workshop", "--bus", "bay-2", "--mode", "bench", "--port", "/run/scooter/x"]
    code, _ = put("v1", "install", *words, "--enrol", "/opt/pi-01.packtap.toml")
    lines = Path("/etc/packtap/agent-bay-2.toml").read_text().splitlines()
    wanted = (
        'agent = "pi-01"', 'host = "127.0.0.1"', "port = 8883", 'mode = "bench"', "[mqtt.tls]",
        'key_file = "device.key"', 'ca_file = "/etc/packtap/tls/ca.crt"',
    )  # fmt: skip
    missing = [line for line in wanted if line not in lines]
    told("a second bus with the file of a fleet", code == 0 and not missing, missing or "exit 0")
    key = Path("/etc/credstore/packtap.device.key").stat()
    figure = f"uid {key.st_uid}, mode {key.st_mode & 0o777:o}"
    told("its key is for root alone", figure == "uid 0, mode 600", figure)
    state = shown("packtap-agent@bay-2", "ActiveState")
    told("its agent works", state == "active", state)
    told("the first bus is configured as before", CONFIG.read_bytes() == before, CONFIG)


def leaves_nothing(untouched: dict[str, str]) -> None:
    """Take it away with data, back again, and away for good."""
    subprocess.run(["systemctl", "stop", "scooter"], check=True)
    kept = messages()
    code, _ = installer("v1", "uninstall")
    left = changed(untouched, files())
    data = (
        "/etc/packtap", "/etc/credstore", "/var/lib/packtap",
        "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow",
    )  # fmt: skip
    beside = [name for name in left if not name.startswith(data)]
    told(
        "uninstall leaves data and user only",
        code == 0 and not beside,
        beside or f"{len(left)} paths",
    )
    told_kept("uninstall loses no data", kept)
    owner = pwd.getpwuid(STORE.stat().st_uid).pw_name
    told("which still have their owner", owner == "packtap", owner)
    code, _ = put("v2", "install")
    told("install finds configuration and data again", code == 0 and works(), f"runs {runs()}")
    told_kept("and goes on with them", kept)
    code, _ = installer("v2", "uninstall", "--purge")
    left = changed(untouched, files())
    told(
        "uninstall --purge leaves nothing behind", code == 0 and not left, left or "no file differs"
    )
    still = [unit for unit in (*UNITS, "packtap-agent@bay-2")
             if shown(unit, "ActiveState") == "active"]  # fmt: skip
    told("no unit runs", not still, still or "none")


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        told("the checks themselves", False, repr(error))
        raise
    finally:
        subprocess.run(["systemctl", "poweroff", "--force", "--force"], check=False)
