"""Who the pack says it is, and whether it looks swapped or cloned, floor 4. Rows, not branches."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Final

from ninebot_bms import Doubt, Snapshot

__all__ = ["Health", "Named", "health_of", "identity_of"]

#: Doubts that concern who the pack is, the worst first -> what that looks like.
_LOOKS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "emulator-constants": "no BMS: an emulator answers in its place",
        "serial-date-differs": "swapped or cloned: serial and date of manufacture contradict "
        "each other",
        "serial-placeholder": "rebuilt or cloned: the serial is no maker's number",
        "serial-unreadable": "rebuilt or damaged: the serial cannot be read",
        "serial-factory": "never activated, or its memory was reset: the factory's serial",
        "serial-shared": "a replacement board: its serial names no pack",
        "replacement-bms": "a replacement board: its serial names no pack",
        "factory-image": "its register memory was reset",
    }
)
_SWAPPED: Final = "swapped during the recording: more than one serial was read"
_SOUND: Final = "nothing speaks for a swapped or cloned pack"
_PARTLY: Final = "nothing speaks for a swapped or cloned pack, but its date was not read"
_UNKNOWN: Final = "not known: the serial was not read"


@dataclass(frozen=True, slots=True)
class Named:
    """Who the pack is.

    Attributes:
        looks: whether it looks swapped or cloned, in words.
        is_doubtful: whether something speaks for that.
        serials: all that were read, in their order.
        firmware: as reported.
        serial_date: the date that the serial encodes.
        manufacture_date: register 0x20.
        reasons: sentences of the doubts.
    """

    looks: str
    is_doubtful: bool
    serials: tuple[str, ...]
    firmware: str | None
    serial_date: date | None
    manufacture_date: date | None
    reasons: tuple[str, ...]

    def as_document(self) -> dict[str, object]:
        """Return it as JSON keys and values."""
        made, coded = self.manufacture_date, self.serial_date
        return {
            "looks": self.looks,
            "doubtful": self.is_doubtful,
            "serials": list(self.serials),
            "firmware": self.firmware,
            "serial_date": None if coded is None else coded.isoformat(),
            "manufacture_date": None if made is None else made.isoformat(),
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True, slots=True)
class Health:
    """What the board itself reports about the pack's age; None where it does not.

    Attributes:
        health_pct: as the board estimates it.
        full_capacity_mah: what it holds now, as the board learnt it.
        design_capacity_mah: what it was made for.
        cycles: charge cycles.
        years: since its date of manufacture, at the time of the recording.
    """

    health_pct: int | float | None
    full_capacity_mah: int | float | None
    design_capacity_mah: int | float | None
    cycles: int | float | None
    years: float | None

    @property
    def capacity_pct(self) -> float | None:
        """Full capacity in percent of the design capacity."""
        full, design = self.full_capacity_mah, self.design_capacity_mah
        if full is None or not design:
            return None
        return 100 * full / design

    def as_document(self) -> dict[str, object]:
        """Return it as JSON keys and values."""
        share = self.capacity_pct
        return {
            "health_pct": self.health_pct,
            "full_capacity_mah": self.full_capacity_mah,
            "design_capacity_mah": self.design_capacity_mah,
            "capacity_pct": None if share is None else round(share, 1),
            "cycle_count": self.cycles,
            "age_years": None if self.years is None else round(self.years, 1),
        }


def identity_of(
    latest: Snapshot | None, serials: Iterable[str], doubts: Mapping[str, Doubt]
) -> Named:
    """Return who the pack is.

    Args:
        latest: the last snapshot; None if there was none.
        serials: all that were read, in their order.
        doubts: by name, all that ever showed.
    """
    known = tuple(serials)
    concerned = [name for name in _LOOKS if name in doubts]
    identity = None if latest is None else latest.identity
    if concerned:
        looks = _LOOKS[concerned[0]]
    elif len(known) > 1:
        looks = _SWAPPED
    elif not known:
        looks = _UNKNOWN
    else:
        has_date = identity is not None and identity.manufacture_date is not None
        looks = _SOUND if has_date else _PARTLY
    return Named(
        looks=looks,
        is_doubtful=bool(concerned) or len(known) > 1,
        serials=known,
        firmware=None if identity is None else identity.firmware,
        serial_date=None if identity is None else identity.serial_date,
        manufacture_date=None if identity is None else identity.manufacture_date,
        reasons=tuple(doubts[name].text for name in concerned),
    )


def health_of(latest: Snapshot | None, at: datetime | None) -> Health:
    """Return what the board reports about its age.

    Args:
        latest: the last snapshot; None if there was none.
        at: when that was; None leaves the age unknown.
    """

    def number(name: str) -> int | float | None:
        value = None if latest is None else latest.trusted(name)
        return value if isinstance(value, int | float) else None

    years = None
    made = None if latest is None else latest.trusted("manufacture_date")
    if isinstance(made, str) and at is not None:
        days = (at.astimezone(UTC).date() - date.fromisoformat(made)).days
        years = days / 365.25 if days >= 0 else None
    return Health(
        health_pct=number("health_pct"),
        full_capacity_mah=number("full_capacity_mah"),
        design_capacity_mah=number("design_capacity_mah"),
        cycles=number("cycle_count"),
        years=years,
    )
