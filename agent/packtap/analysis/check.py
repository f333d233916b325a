"""What every detector of one pack looks like, floor 2."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Protocol

from ninebot_bms import Snapshot
from packtap.analysis.finding import Finding

__all__ = ["Check"]


class Check(Protocol):
    """Judges the snapshots of one pack, in one pass and constant memory."""

    @property
    def judged(self) -> AbstractSet[str]:
        """Kinds that have been judged so far, whether raised or not.

        A kind is in here once the check has had what it needs: enough rest, load, charge or time.
        The diagnosis takes a judged kind that was not raised as evidence; a kind that nobody
        judged is "cannot judge", never health.
        """
        ...

    def update(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Take the next snapshot; yield what it decides."""
        ...
