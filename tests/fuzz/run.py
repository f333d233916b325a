"""Coverage-guided fuzzing of every target, from its saved corpus: `make fuzz` (SECONDS=60 each).

Needs atheris (requirements-fuzz.lock). Each target runs in a process of its own; its line of the
table is printed as it ends, and new inputs that reach new code are added to the corpus, as long as
that stays small. A crash leaves its input beside this file and ends with exit code 1.
"""

import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

_SMALL_BYTES: Final = 600  #: a larger new input is not saved
_MOST_SAVED: Final = 120
_HEAD: Final = """\
# Coverage-guided fuzzing

Written by `make fuzz SECONDS={seconds}` (atheris, Python {python}): what strangers hand to packtap,
as bytes, from the saved corpus; `tests/fuzz/targets.py` says what must hold for each. A short form,
the corpus and changes of it, runs in `make test`.

| target | inputs tried | code points reached | corpus | crashes |
| --- | --- | --- | --- | --- |"""


def main() -> int:
    """Run all targets, or one of them inside of its own process."""
    if len(sys.argv) > 2:
        return _one(sys.argv[1], sys.argv[2:])
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    from fuzz.targets import TARGETS

    print(_HEAD.format(seconds=seconds, python=platform.python_version()), flush=True)
    return max(_fuzz(name, seconds) for name in TARGETS)


def _fuzz(name: str, seconds: int) -> int:
    from fuzz.corpus import read_corpus, write_corpus

    seeds = read_corpus(name)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for number, one in enumerate(seeds):
            (folder / f"seed-{number}").write_bytes(one)
        done = subprocess.run(
            [
                *(sys.executable, __file__, name, f"-max_total_time={seconds}", "-max_len=4096"),
                *("-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1", "-seed=1"),
                *(f"-artifact_prefix={Path(__file__).parent}/crash-{name}-", str(folder)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        new = [file.read_bytes() for file in folder.iterdir()]
    log = done.stdout.decode(errors="replace")
    room = max(0, _MOST_SAVED - len(seeds))
    found = sorted((one for one in new if one not in seeds), key=len)
    kept = seeds + [one for one in found if len(one) <= _SMALL_BYTES][:room]
    write_corpus(name, kept)
    tried = re.search(r"stat::number_of_executed_units:\s+(\d+)", log)
    reached = re.findall(r"cov: (\d+)", log)
    crashed = done.returncode != 0
    print(
        f"| {name} | {tried[1] if tried else '?'} | {reached[-1] if reached else '?'} | "
        f"{len(kept)} | {int(crashed)} |",
        flush=True,
    )
    if crashed:
        print(log[-4000:], file=sys.stderr)
    return int(crashed)


def _one(name: str, options: list[str]) -> int:
    import atheris

    with atheris.instrument_imports(include=["packtap", "ninebot_bms"]):
        from fuzz.targets import TARGETS

    target: Callable[[bytes], Any] = TARGETS[name]
    target(b"")  # what is made once is no coverage
    atheris.Setup([sys.argv[0], *options], target)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
