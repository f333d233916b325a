"""The machine that the agent runs on: room on its disk, load, temperature, floor 3.

What cannot be read is None: no temperature sensor, another operating system.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["HostFigures", "host_figures"]

#: The processor's own sensor, thousandths of a degree. Source: Linux, sysfs-class-thermal.
_THERMAL: Final = Path("/sys/class/thermal/thermal_zone0/temp")


@dataclass(frozen=True, slots=True)
class HostFigures:
    """What the machine says of itself now.

    Attributes:
        disk_free_bytes: on the store's disk.
        load_pct: work that waited in the last minute, 100 = all processors busy.
        temperature_c: of the processor, whole degrees.
    """

    disk_free_bytes: int | None = None
    load_pct: int | None = None
    temperature_c: int | None = None


def host_figures(store: Path, thermal: Path = _THERMAL) -> HostFigures:
    """Return the figures.

    Args:
        store: a file on the disk that is meant; it may not exist yet.
        thermal: the sensor's file.
    """
    return HostFigures(_disk_free(store), _load_pct(), _temperature_c(thermal))


def _disk_free(store: Path) -> int | None:
    try:
        return shutil.disk_usage(store.parent).free
    except OSError:
        return None


def _load_pct() -> int | None:
    ask = getattr(os, "getloadavg", None)  # not on every system
    if ask is None:
        return None
    try:
        last_minute: float = ask()[0]
    except OSError:
        return None
    return round(100 * last_minute / (os.cpu_count() or 1))


def _temperature_c(thermal: Path) -> int | None:
    try:
        return round(int(thermal.read_text(encoding="ascii")) / 1000)
    except (OSError, ValueError):
        return None
