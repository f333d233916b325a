"""What reaches the disk, and in which form."""

import json
from dataclasses import replace
from pathlib import Path

from packtap.clock import Clock
from packtap.config import load_agent
from packtap.keeping import Keeper
from packtap.model import Event, EventState, Severity
from packtap.store import Store

CONFIG = """
site = "workshop"
agent = "tap-01"
bus = "bay-1"
clock = "trusted"
[lines.bms]
port = "/dev/ttyS0"
[mqtt]
host = "127.0.0.1"
[store]
path = "{path}"
"""
UTC_MS = 1_790_000_000_000


def stored_times(folder: Path, *events: Event) -> list[int]:
    """Keep the events and return their times in the outbox, UTC milliseconds."""
    file = folder / "agent.toml"
    file.write_text(CONFIG.format(path=folder / "agent.db"))
    clock = Clock("trusted", boot_ms=lambda: 9_000, utc_ms=lambda: UTC_MS)
    keeper = Keeper(load_agent(file), clock)
    for event in events:
        keeper.add_event(event)
    assert keeper.save()
    keeper.close()
    with Store.open_read_only(folder / "agent.db") as store:
        return [json.loads(message.payload)["t"][0] for message in store.pending(0, 100)]


def test_event_that_begins_in_the_moment_in_which_the_one_before_ends_does_not_overwrite_it(
    tmp_path: Path,
) -> None:
    raised = Event(
        id="a",
        t=5.0,
        pack="PACK",
        kind="timestamp_anomaly",
        severity=Severity.INFO,
        state=EventState.RAISED,
        value=3600.0,
        unit="s",
        text="The clock stepped",
    )
    cleared = replace(raised, t=7.0, state=EventState.CLEARED)
    again = replace(raised, id="b", t=7.0)
    elsewhere = replace(again, id="c", cell=3)
    first, end, begin, other = stored_times(tmp_path, raised, cleared, again, elsewhere)
    assert first == UTC_MS - 4000
    assert end - first == 2000
    assert begin - end == 1
    assert other == end  # another series: nothing meets it there
