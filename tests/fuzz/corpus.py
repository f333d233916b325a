"""The saved inputs of each target: one in hexadecimal a line, in `corpus/<target>.hex`."""

from pathlib import Path
from typing import Final

__all__ = ["read_corpus", "write_corpus"]

_FOLDER: Final = Path(__file__).parent / "corpus"


def read_corpus(target: str) -> list[bytes]:
    """Return the saved inputs."""
    return [bytes.fromhex(line) for line in (_FOLDER / f"{target}.hex").read_text().splitlines()]


def write_corpus(target: str, inputs: list[bytes]) -> None:
    """Save inputs, the shortest first."""
    lines = [one.hex() for one in sorted(set(inputs), key=lambda one: (len(one), one))]
    (_FOLDER / f"{target}.hex").write_text("\n".join(lines) + "\n")
