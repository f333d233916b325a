"""Genuine frames and recordings of real scooters, as the tests read them."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parent / "vectors"

#: Frames of each recording, from its README.
RECORDED_FRAMES = {
    "m365_esc_bms": 138,
    "m365_dash_app": 1214,
    "m365_esc_no_bms": 500,
    "m365_commercial_emulator": 7,
}


@dataclass(frozen=True, slots=True)
class Vector:
    """One line of frames.jsonl."""

    raw: bytes
    dialect: str
    checksum_ok: bool
    derived: dict[str, Any]  # address, command, index and kind, by the protocol reference
    decoded: dict[str, Any]  # values stated by the source itself
    note: str

    def number(self, name: str) -> int:
        return int(self.derived[name], 16)


def frame_vectors() -> list[Vector]:
    """Every genuine frame, the garbage that must be refused among them."""
    vectors = []
    for line in (VECTORS / "frames.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        vectors.append(
            Vector(
                raw=bytes.fromhex(row["hex"]),
                dialect=row["dialect"],
                checksum_ok=row["checksum_ok"],
                derived=row.get("derived", {}),
                decoded=row.get("decoded", {}),
                note=row["note"],
            )
        )
    return vectors


def recording(name: str) -> list[tuple[float, str, bytes]]:
    """One recording: seconds, line name and bytes of every chunk."""
    chunks = []
    path = VECTORS / "recordings" / f"{name}.log.gz"
    with gzip.open(path, "rt", encoding="ascii") as lines:
        for text in lines:
            time, line, data = text.split()
            chunks.append((float(time.strip("()")), line, bytes.fromhex(data)))
    return chunks
