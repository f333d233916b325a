"""Is the pack too hot or too cold, or is it the sensor that is wrong? Floor 2.

Two sensors sit in one pack. A temperature counts only if both of them can be believed: a broken
sensor reads an end stop (raw 0 = -20 degC, raw 255), jumps by more than a pack can warm up between
two reads, or stays constant while the other one moves away.

Source: events.md section 2 (60 degC, -10 degC, 0 degC while charging; 10 K; 8 K); protocol.md
section 5 (0x35: degC + 20 in each byte, 0 or 0xFF = absent sensor).
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ninebot_bms import Snapshot
from packtap.analysis.configured import of_pack
from packtap.analysis.finding import Finding, Held

__all__ = ["TemperatureCheck", "TemperatureLimits"]


@dataclass(frozen=True, slots=True)
class TemperatureLimits:
    """Degrees Celsius, kelvin and seconds.

    Attributes:
        hot_c: while discharging or at rest. Source: events.md; BotoX cuts discharge at 60 degC.
        hot_charge_c: while charging. Cells are specified for 45; BotoX stops charging there, so
            a pack that is charged 10 K above has no working limit.
        not_hot_c: whole degrees flicker.
        cold_c: discharge below this loses capacity; vendor's advice is -10..50 degC.
        cold_charge_c: charging below this plates lithium.
        not_cold_c: whole degrees flicker.
        charge_a: current above which the pack is being charged.
        end_stop_k: an end stop is a broken sensor if the other one reads so much elsewhere; a
            pack at -20 degC has both near it.
        jump_k: between two reads close together.
        jump_gap_s: what "close together" is. Cells of 1 kg at 1 kW warm up 1 K a second at most.
        apart_k: sensors so far apart, one constant, are not measuring one pack.
        apart_constant_s: for so long constant, while the other moved by as much.
        apart_always_k: so far apart nothing in a pack can be.
    """

    hot_c: float = of_pack("over_temperature_c")
    hot_charge_c: float = of_pack("over_temperature_charging_c")
    not_hot_c: float = of_pack("over_temperature_clear_c")
    cold_c: float = of_pack("under_temperature_c")
    cold_charge_c: float = of_pack("under_temperature_charging_c")
    not_cold_c: float = of_pack("under_temperature_clear_c")
    charge_a: float = 0.3
    end_stop_k: float = 10.0
    jump_k: float = of_pack("temp_sensor_jump_k")
    jump_gap_s: float = 10.0
    apart_k: float = of_pack("temp_sensor_stuck_k")
    apart_constant_s: float = of_pack("temp_sensor_stuck_s")
    apart_always_k: float = of_pack("temp_sensors_apart_k")


_NAMES: Final = ("temperature_1_c", "temperature_2_c")
_OFFSET: Final = 20  # raw = degC + 20
_LOWEST: Final = 0
_HIGHEST: Final = 255
_FAULT_S: Final = 2.0
_CLEAR_S: Final = 60.0
_JUMPS: Final = 4  # there and back twice
_JUMPS_S: Final = 600.0


class _Channel:
    """One sensor: its last reading, and since when it has not moved."""

    __slots__ = ("raw", "still_other", "still_raw", "still_since", "t")

    def __init__(self) -> None:
        self.raw: int | None = None
        self.t: float | None = None
        self.still_since: float | None = None
        self.still_raw = 0
        self.still_other = 0  # what the other one read when this one came to rest

    def came_to_rest(self, raw: int, other: int, t: float) -> None:
        """Begin a stretch without movement."""
        self.still_since, self.still_raw, self.still_other = t, raw, other


class TemperatureCheck:
    """Judges every fresh pair of temperatures."""

    def __init__(self, limits: TemperatureLimits | None = None) -> None:
        self._limits = limits or TemperatureLimits()
        self._channels = (_Channel(), _Channel())
        self._stopped = Held(0.0)  # two readings in a row, however close
        self._broken = Held(_FAULT_S)
        self._apart = Held(_CLEAR_S, 5)
        self._sound = Held(_CLEAR_S)
        self._jumped: tuple[int, int] | None = None  # channel, raw before it
        self._jumps: deque[float] = deque(maxlen=_JUMPS)  # times of the latest jumps
        self._hot, self._not_hot = Held(2.0), Held(_CLEAR_S)
        self._cold, self._not_cold = Held(10.0), Held(_CLEAR_S)
        self._faulty = False
        self.judged: set[str] = set()

    def update(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Yield findings if this snapshot newly read the temperatures."""
        if not set(_NAMES) & snapshot.fresh or any(
            name in doubt.rows for doubt in snapshot.doubts for name in _NAMES
        ):
            return
        raws = tuple(snapshot.temperatures_raw.get(name) for name in _NAMES)
        first, second = raws
        t = snapshot.times.get(_NAMES[0])
        if first is None or second is None:
            return
        yield from self._judge_sensors((first, second), t)
        # Two sensors near the lowest reading are a very cold pack.
        if not self._faulty and _HIGHEST not in raws and self._end_stop((first, second)) is None:
            yield from self._judge_heat([first, second], snapshot, t)

    def _end_stop(self, raws: tuple[int, int]) -> int | None:
        """Return which channel reads an end stop while the other one reads elsewhere."""
        if abs(raws[0] - raws[1]) <= self._limits.end_stop_k:
            return None
        stops = [number for number, raw in enumerate(raws) if raw in (_LOWEST, _HIGHEST)]
        return stops[0] if stops else None

    def _judge_sensors(self, raws: tuple[int, int], t: float | None) -> Iterator[Finding]:
        limits = self._limits
        apart_k = abs(raws[0] - raws[1])
        detail = ""
        stop = self._end_stop(raws)
        if stop is not None:
            detail = f"sensor {stop + 1} reads its end stop (raw {raws[stop]})"
        jump = self._jump(raws, t)
        if not detail and jump is not None:
            detail = f"sensor {jump + 1} jumped to {raws[jump] - _OFFSET} degC between two reads"
        stopped = self._stopped.update(stop is not None, t)
        broken = self._broken.update(bool(detail), t) or stopped
        if t is not None and len(self._jumps) == _JUMPS and 0 <= t - self._jumps[0] <= _JUMPS_S:
            broken = True
            detail = detail or "a sensor jumps there and back"
        still = self._moved_away(raws, t)
        if still is not None and not detail:
            detail = f"sensor {still + 1} stands still, {apart_k} K from the other one"
        elif apart_k > limits.apart_always_k and not detail:
            detail = f"the two sensors are {apart_k} K apart"
        apart = self._apart.update(still is not None or apart_k > limits.apart_always_k, t)
        sound = self._sound.update(not detail, t)
        self.judged.add("temp_sensor_fault")
        if broken or apart:
            self._faulty = True
            value = float(apart_k)
            yield Finding("temp_sensor_fault", True, t, None, value, limits.apart_k, detail)
        elif sound:
            self._faulty = False
            yield Finding("temp_sensor_fault", False, t)

    def _jump(self, raws: tuple[int, int], t: float | None) -> int | None:
        """Return which channel stands elsewhere than before a jump, if one does."""
        limits = self._limits
        for number, (channel, raw) in enumerate(zip(self._channels, raws, strict=True)):
            before, read = channel.raw, channel.t
            channel.raw, channel.t = raw, t
            if before is None or read is None or t is None:
                continue
            if 0 <= t - read <= limits.jump_gap_s and abs(raw - before) > limits.jump_k:
                self._jumps.append(t)
                if self._jumped is None:
                    self._jumped = (number, before)
        if self._jumped is None:
            return None
        number, before = self._jumped
        if abs(raws[number] - before) <= limits.jump_k:
            self._jumped = None  # it came back: one damaged reading
            return None
        return number

    def _moved_away(self, raws: tuple[int, int], t: float | None) -> int | None:
        """Return the channel that has stood still while the other one moved far away."""
        limits = self._limits
        if t is None:
            return None
        for number, (channel, raw) in enumerate(zip(self._channels, raws, strict=True)):
            other = raws[1 - number]
            since = channel.still_since
            if since is None or t < since or abs(raw - channel.still_raw) > 1:
                channel.came_to_rest(raw, other, t)
            elif (
                t - since >= limits.apart_constant_s
                and abs(raw - other) > limits.apart_k
                and abs(other - channel.still_other) >= limits.apart_k
            ):
                return number
        return None

    def _judge_heat(
        self, raws: list[int], snapshot: Snapshot, t: float | None
    ) -> Iterator[Finding]:
        limits = self._limits
        current = snapshot.trusted("current_a")
        charging = isinstance(current, int | float) and current < -limits.charge_a
        high_c, low_c = max(raws) - _OFFSET, min(raws) - _OFFSET
        hot_c = limits.hot_charge_c if charging else limits.hot_c
        cold_c = limits.cold_charge_c if charging else limits.cold_c
        is_cold = low_c < cold_c if charging else low_c <= cold_c
        self.judged |= {"over_temperature", "under_temperature"}
        if self._hot.update(high_c >= hot_c, t):
            yield Finding("over_temperature", True, t, None, high_c, hot_c)
        elif self._not_hot.update(high_c < limits.not_hot_c, t):
            yield Finding("over_temperature", False, t)
        if self._cold.update(is_cold, t):
            yield Finding("under_temperature", True, t, None, low_c, cold_c)
        elif self._not_cold.update(low_c > limits.not_cold_c, t):
            yield Finding("under_temperature", False, t)
