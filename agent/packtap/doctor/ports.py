"""Which port is meant when none is named, floor 4.

Never a guess: a port that belongs to something else must not be opened, so of several ports a
person names one.
"""

from collections.abc import Sequence

from packtap.link import FoundPort, PortKind

__all__ = ["only_port", "port_words"]


def only_port(ports: Sequence[FoundPort]) -> FoundPort | None:
    """Return the one port that can be meant, or None: there is none, or there are several.

    A single USB adapter is meant even beside UARTs of the board: somebody plugged it in.
    """
    adapters = [port for port in ports if port.kind is PortKind.USB]
    candidates = adapters or list(ports)
    return candidates[0] if len(candidates) == 1 else None


def port_words(ports: Sequence[FoundPort]) -> list[str]:
    """Return a line a port: its name, and what it is."""
    return [
        f"{port.name}: {port.words}" + (f" ({port.device})" if port.device != port.name else "")
        for port in ports
    ]
