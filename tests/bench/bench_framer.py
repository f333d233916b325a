"""How fast the framer is, as ratios: run `python tests/bench/bench_framer.py` by hand.

Frames per second against construct's own parser on the same frames (whole, already cut), and bytes
per second of hostile input against benign input, at two sizes: a linear framer keeps its rate.
"""

import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path

from ninebot_bms import frames as frames_module
from ninebot_bms.framer import Framer
from ninebot_bms.frames import Dialect, parse_frame

VECTORS = Path(__file__).parent.parent / "vectors"
CHUNK = 4096  # bytes a read

HOSTILE = {
    "xiaomi headers, long claims": b"\x55\xaa\x80",
    "ninebot headers, long claims": b"\x5a\xa5\x80",
    "headers, short claims": b"\x55\xaa\x02",
    "headers, length out of range": b"\x55\xaa\xff",
    "headers back to back": b"\x55\xaa",
    "headers of both, nested": b"\x5a\xa5\x55\xaa\x7f",
    "first bytes only": b"\x55\x5a",
    "all 55": b"\x55",
    "all zero": b"\x00",
}


def best_rate(work: Callable[[], object], amount: int) -> float:
    """Amount per second, the best of five runs."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return amount / best


def frame_all(stream: bytes, chunk: int = CHUNK) -> Framer:
    framer = Framer()
    for at in range(0, len(stream), chunk):
        framer.receive_data(stream[at : at + chunk])
    framer.close()
    return framer


def genuine_frames() -> list[bytes]:
    rows = map(json.loads, (VECTORS / "frames.jsonl").read_text(encoding="utf-8").splitlines())
    return [bytes.fromhex(row["hex"]) for row in rows if row["checksum_ok"]] * 20


def recorded_bytes() -> bytes:
    path = VECTORS / "recordings" / "m365_dash_app.log.gz"
    with gzip.open(path, "rt", encoding="ascii") as lines:
        return b"".join(bytes.fromhex(line.split()[2]) for line in lines)


def main() -> None:
    genuine = genuine_frames()
    stream = b"".join(genuine)
    schemas = frames_module._SCHEMAS
    parsers = [
        (schemas[Dialect.XIAOMI if raw[0] == 0x55 else Dialect.NINEBOT], raw) for raw in genuine
    ]
    assert frame_all(stream).frames == len(genuine)

    framed = best_rate(lambda: frame_all(stream), len(genuine))
    decoded = best_rate(lambda: [parse_frame(raw) for raw in genuine], len(genuine))
    oracle = best_rate(lambda: [schema.parse(raw) for schema, raw in parsers], len(genuine))
    print(f"frames/s: framer {framed:,.0f}, parse_frame {decoded:,.0f}, construct {oracle:,.0f}")
    print(f"against construct: framer {framed / oracle:.1f}, parse_frame {decoded / oracle:.1f}")

    benign = best_rate(lambda: frame_all(stream), len(stream))
    recording = recorded_bytes()
    print(f"\n{'input':32} {'bytes/s':>14} {'/ benign':>9} {'4x longer':>10}")
    print(f"{'genuine frames':32} {benign:14,.0f} {1.0:9.2f}")
    noisy = best_rate(lambda: frame_all(recording), len(recording))
    print(f"{'recording of a dashboard bus':32} {noisy:14,.0f} {noisy / benign:9.2f}")
    single = best_rate(lambda: frame_all(stream[:20_000], 1), 20_000)
    print(f"{'genuine frames, byte by byte':32} {single:14,.0f} {single / benign:9.2f}")
    for name, unit in HOSTILE.items():
        short, long = ((unit * size)[:size] for size in (50_000, 200_000))
        rate = best_rate(lambda data=short: frame_all(data), len(short))  # type: ignore[misc]
        longer = best_rate(lambda data=long: frame_all(data), len(long))  # type: ignore[misc]
        print(f"{name:32} {rate:14,.0f} {rate / benign:9.2f} {longer / rate:10.2f}")


if __name__ == "__main__":
    main()
