"""packtap: taps a scooter battery's bus, finds faults on the spot, delivers every reading."""

from typing import Final

__all__ = ["__version__"]

__version__: Final = "0.1.0"
