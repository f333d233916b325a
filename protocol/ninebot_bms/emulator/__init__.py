"""Emulated nodes of a scooter's buses, for demonstrations and tests, floor 0.

`pack` is a battery, `dashboard` the one-wire bus between dashboard and ESC with all its nodes,
`wire` that wire, bit by bit where two talk at once. They alone, with `emulated_esc`, can build
other frames than reads: import contracts keep this package from whatever reaches a port.
"""

from ninebot_bms.emulator.pack import Busy, EmulatedPack, RegisterImage

__all__ = ["Busy", "EmulatedPack", "RegisterImage"]
