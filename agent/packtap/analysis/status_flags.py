"""Does the BMS itself say fault? Floor 2.

Register 0x30: bit 0 cleared, bits 8, 10, 13, 14 set. Bit 9 alone is normal on a full pack
(0x0201, 0x0241). Source: protocol.md section 6; events.md section 2.
"""

from collections.abc import Iterator

from ninebot_bms import Snapshot, fault_flags
from packtap.analysis.finding import Finding, Held

__all__ = ["StatusFlagCheck"]


class StatusFlagCheck:
    """Judges every fresh status word."""

    def __init__(self) -> None:
        # Two readings in a row, however close: the status is polled every 0.2 to 2 s.
        self._fault = Held(0.0)
        self._no_fault = Held(5.0)
        self.judged: set[str] = set()

    def update(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Yield a finding if this snapshot newly read the status."""
        if "status" not in snapshot.fresh:
            return
        status = snapshot.trusted("status")
        if not isinstance(status, int):
            return
        t = snapshot.times["status"]
        flags = fault_flags(status)
        self.judged.add("bms_fault_flag")
        present = self._fault.update(bool(flags), t)
        absent = self._no_fault.update(not flags, t)
        if present or absent:
            detail = f"{', '.join(flags)} (status 0x{status:04x})" if flags else ""
            yield Finding("bms_fault_flag", present, t, detail=detail)
