"""Readings side by side: the columnar body of one message, floor 2.

One batch of readings is one row of the store and one MQTT message. A column exists only if at
least one reading reported it; a reading that did not report it has `None` there.
"""

from ninebot_bms import Snapshot
from packtap.model import Reading, Value
from packtap.wire import JsonValue

__all__ = ["Batch", "json_value", "reading_of"]


class Batch:
    """Readings of one pack, in the order of time."""

    def __init__(self, pack: str) -> None:
        self.pack = pack
        self._readings: list[Reading] = []

    def __len__(self) -> int:
        return len(self._readings)

    def add(self, reading: Reading) -> None:
        """Take one more reading.

        Raises:
            ValueError: it is of another pack, or not later than the one before.
        """
        if reading.pack != self.pack:
            raise ValueError(f"a batch holds one pack: {self.pack}, not {reading.pack}")
        if self._readings and reading.boot_ms <= self._readings[-1].boot_ms:
            raise ValueError(f"{reading.boot_ms} ms is not after {self._readings[-1].boot_ms} ms")
        self._readings.append(reading)

    @property
    def times_ms(self) -> tuple[int, ...]:
        """Sample times, milliseconds since boot, strictly increasing."""
        return tuple(reading.boot_ms for reading in self._readings)

    def columns(self) -> dict[str, list[JsonValue]]:
        """Return row name -> one value a reading."""
        names = dict.fromkeys(name for reading in self._readings for name in reading.values)
        return {
            name: [json_value(reading.values.get(name)) for reading in self._readings]
            for name in names
        }


def json_value(value: Value) -> JsonValue:
    """Return the value as JSON carries it."""
    return list(value) if isinstance(value, tuple) else value


def reading_of(pack: str, snapshot: Snapshot, after_ms: int) -> Reading | None:
    """Return what the snapshot newly reported, or None if that is nothing.

    Args:
        pack: name of the pack.
        snapshot: with times in seconds since boot.
        after_ms: time of the pack's reading before; the result is at least one later, because
            a store keeps one value for one time.
    """
    if snapshot.t is None:
        raise ValueError("a reading needs a time")
    values = {
        name: value
        for name in sorted(snapshot.fresh)
        if (value := snapshot.values.get(name)) is not None
    }
    if not values:
        return None
    return Reading(max(round(snapshot.t * 1000), after_ms + 1), pack, values)
