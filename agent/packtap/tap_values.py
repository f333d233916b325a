"""What a tap is told, what it gives, and what a pack is called, floor 2."""

from dataclasses import dataclass, field

from ninebot_bms import Snapshot
from packtap.config import PackConfig, PackModelConfig
from packtap.model import Event

__all__ = ["Digest", "TapSettings", "pack_name"]


@dataclass(frozen=True, slots=True)
class TapSettings:
    """What judging needs to know beside the bytes.

    Attributes:
        unknown_pack: name of a pack whose serial is not known.
        rested: the pack was off for long before this tap began (a bench).
        pack: limits of the checks.
        models: what holds instead for packs of a model, once the pack tells what it is.
    """

    unknown_pack: str = "unknown"
    rested: bool = False
    pack: PackConfig = field(default_factory=PackConfig)
    models: tuple[PackModelConfig, ...] = ()

    def limits(self, model: int | None) -> PackConfig:
        """Return the limits of a model, by its place in `models`; None: of any other pack."""
        return self.pack if model is None else self.models[model].limits(self.pack)


@dataclass(slots=True)
class Digest:
    """What a stretch of bus events gave, each list in the order of time.

    Attributes:
        snapshots: pack name, snapshot.
        events: what was raised and cleared.
        renamed: what had been raised before its pack's name was known, once more under that name:
            nothing new, but a store that files events by pack needs it beside their end.
    """

    snapshots: list[tuple[str, Snapshot]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    renamed: list[Event] = field(default_factory=list)


def pack_name(snapshot: Snapshot) -> str | None:
    """Return the serial if it can name a pack, else None (unread, placeholder, not ASCII)."""
    serial = snapshot.trusted("serial")
    if not isinstance(serial, str):
        return None
    name = serial.strip()
    return name if name.isascii() and name.isalnum() else None
