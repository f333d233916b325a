"""The SQLite file: history, outbox, events and gaps, floor 3.

One file a bus on the Pi, one at the embedded ingest; both have one schema, so one reader serves
both. Promises:

* A message is in history and outbox together or not at all: one transaction, `synchronous=FULL`.
* `seq` is one more for each queued message of a store, over restarts and boots, without holes;
  what the size bound removes undelivered is a recorded `Gap`.
* A received message is known by all it holds, not by its `seq` alone: what a sender numbers anew
  after its store was set back is kept beside what it numbered so before.
* The file stays within its bound; space of removed rows is used again. Beside it stands a
  write-ahead log of one to two MiB.
* An operation that fails (disk full, I/O error, read-only) raises `StoreError`, leaves the file as
  it was before, and the next one works as soon as the disk does.
* A damaged file is set aside as `<name>.damaged-<n>`, said loudly, and a fresh store begins: a
  device that goes on measuring is worth more than one that waits for a person. Nobody but the
  owner of the file (who opens it with a bound) does that.

Modules: `schema` (numbered migrations), `records` (the values), `file` (opening, errors, damage),
`hold` (transactions), `entering` (queued or received, with `recording`, `dating`, `packed`),
`ledger` (which numbers have arrived), `room` (the size bound), `lock` (one agent a file), `history`
(reading), `rollup` (minutes and half-hours), `overview` (what a page asks), `memories` (what is
remembered of each pack), `undated` (what no clock was known for), `database` (`Store`). A `Store`
belongs to the thread that opened it; each thread opens its own on the same file.
"""

from packtap.store.database import Store
from packtap.store.lock import OwnerLock
from packtap.store.overview import Assumed, History, PackSummary
from packtap.store.records import (
    Draft,
    Gap,
    KeptMemory,
    Message,
    Outbox,
    Queued,
    StoredEvent,
    StoredHealth,
    StoredReading,
)
from packtap.store.undated import UndatedBoot, UndatedReading

__all__ = [
    "Assumed",
    "Draft",
    "Gap",
    "History",
    "KeptMemory",
    "Message",
    "Outbox",
    "OwnerLock",
    "PackSummary",
    "Queued",
    "Store",
    "StoredEvent",
    "StoredHealth",
    "StoredReading",
    "UndatedBoot",
    "UndatedReading",
]
