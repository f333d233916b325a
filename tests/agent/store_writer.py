"""A process that commits readings and prints each seq once its commit has returned.

Usage: python store_writer.py STORE MAX_BYTES; runs until it is killed.
"""

import sys
from pathlib import Path

from packtap.store import Draft, Store


def main() -> None:
    """Commit one batch, sometimes three and an event, again and again."""
    with Store.open(Path(sys.argv[1]), int(sys.argv[2])) as store:
        t = store.rows() * 1000 + 1
        while True:
            drafts = []
            for _ in range(1 + 2 * (t % 5 == 0)):
                times = tuple(range(t, t + 20))
                t += 1000
                drafts.append(
                    Draft(
                        kind="readings",
                        site="site",
                        agent="pi",
                        bus="a",
                        pack="PACK",
                        boot="boot",
                        utc_offset_ms=1_790_000_000_000,
                        times_ms=times,
                        body={"columns": {"voltage_v": [36.5] * len(times)}},
                    )
                )
            for seq in store.commit(drafts):
                print(seq, flush=True)


if __name__ == "__main__":
    main()
