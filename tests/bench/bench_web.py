"""What a month of ten cells costs the page: run `python tests/bench/bench_web.py` by hand.

A store with 30 days of simulated rides (three hours a day, one reading a second, ten cells) is
asked through the page's own routes, without a network: bytes and points of each range, CPU time of
the server for it (best of five), and the same for the list of packs and for CSV.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from starlette.testclient import TestClient

from packtap.config import WebConfig
from packtap.web import make_app
from web_data import DAY_MS, PACK, fill, readings_of_days

END = 1_790_000_000_000
KEY: dict[str, str | int] = {"agent": "pi", "bus": "a", "pack": PACK}
RANGES = {"30 days": 30 * DAY_MS, "7 days": 7 * DAY_MS, "1 day": DAY_MS, "3 h": DAY_MS // 8}


def best_ms(work: Callable[[], object]) -> float:
    """CPU milliseconds of the fastest of five runs."""
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return 1000 * best


def show_history(client: TestClient, title: str, length: int) -> None:
    # The last ride ends three hours after eight in the morning of the last day.
    end = END - DAY_MS + 11 * 3_600_000
    query = {**KEY, "from": end - length, "to": end, "points": 800}
    answer = client.get("/api/history", params=query)
    plot = answer.json()
    cost = best_ms(lambda: client.get("/api/history", params=query))
    print(
        f"  history of {title:8} {len(plot['t']):4} points from {plot['source']:9} "
        f"{int(answer.headers['content-length']) / 1000:6.1f} kB sent, {cost:7.1f} ms"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "packtap.db"
        start = time.process_time()
        count = fill(store, readings_of_days(END, 30, 3))
        spent = time.process_time() - start
        size = store.stat().st_size
        print(
            f"{count} simulated readings of ten cells: {size / count:.0f} bytes a reading, "
            f"{1e6 * spent / count:.1f} us to make and store one"
        )
        config = WebConfig(stores=(store,), now_files=())
        client = TestClient(make_app(config, None), base_url="http://127.0.0.1")
        page = client.get("/")
        files = [word.split('"')[0] for word in page.text.split('="') if word.startswith("static/")]
        first = sum(len(client.get(f"/{file}").content) for file in files)
        print(
            f"  page, styles and its two scripts: {(len(page.content) + first) / 1000:.0f} kB "
            "before compression"
        )
        for title, length in RANGES.items():
            show_history(client, title, length)
        print(f"  list of packs  {best_ms(lambda: client.get('/api/packs')):7.1f} ms")
        query = {**KEY, "from": END - DAY_MS, "to": END}
        rows = client.get("/api/readings.csv", params=query).text.count("\n") - 1
        cost = best_ms(lambda: client.get("/api/readings.csv", params=query))
        print(f"  CSV            {1000 * cost / rows:7.1f} us a reading")


if __name__ == "__main__":
    main()
