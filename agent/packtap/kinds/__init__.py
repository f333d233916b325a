"""The rows of event kinds, floor 1: the only description of what packtap raises.

The command `packtap events`, the words shown to people, the severity on the wire and the document
are derived from these rows. The numbers in their words are the defaults of
`packtap.config.pack`. Source of kinds and severities: events.md section 2.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from packtap.kinds import board_rows, cell_rows, pack_rows
from packtap.kinds.kind import Kind

__all__ = ["KINDS", "Kind", "by_name"]

KINDS: Final[tuple[Kind, ...]] = (
    *board_rows.ROWS,
    *cell_rows.ROWS,
    *pack_rows.ROWS,
)

by_name: Final[Mapping[str, Kind]] = MappingProxyType({kind.name: kind for kind in KINDS})
