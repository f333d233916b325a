"""Which of several findings about the same cells is the true one? Floor 2."""

from collections.abc import Iterable, Iterator

from ninebot_bms import Snapshot
from packtap.analysis.finding import Finding

__all__ = ["Arbiter"]


class Arbiter:
    """Sees all findings of one snapshot together, and lets those pass that stand."""

    def review(self, findings: Iterable[Finding], snapshot: Snapshot) -> Iterator[Finding]:  # noqa: ARG002
        """Yield the findings that stand."""
        yield from findings
