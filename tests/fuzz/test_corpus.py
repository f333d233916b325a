"""The short form of `make fuzz`: every saved input through its target, and some changes of each."""

import random

import pytest

from fuzz.corpus import read_corpus
from fuzz.targets import TARGETS

#: Changed inputs of each target; the page costs most.
CHANGED = {"web": 150}


@pytest.mark.parametrize("name", TARGETS)
def test_every_saved_input_does_what_must_hold_for_all(name: str) -> None:
    inputs = read_corpus(name)
    assert len(inputs) >= 5
    for one in inputs:
        TARGETS[name](one)


@pytest.mark.parametrize("name", TARGETS)
def test_saved_inputs_with_some_bytes_changed_do_so_too(name: str) -> None:
    rng = random.Random(name)
    inputs = read_corpus(name)
    for _ in range(CHANGED.get(name, 400)):
        TARGETS[name](_changed(rng, rng.choice(inputs), rng.choice(inputs)))


def _changed(rng: random.Random, one: bytes, other: bytes) -> bytes:
    data = bytearray(one)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at : at + rng.randrange(1, 9)]
            case 2:
                data[at:at] = rng.randbytes(rng.randrange(1, 5))
            case _:
                start = rng.randrange(len(other) + 1)
                data[at:at] = other[start : start + rng.randrange(1, 20)]
    return bytes(data)
