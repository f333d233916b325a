"""Markdown tables of the fault bench."""

from collections.abc import Iterator, Sequence

__all__ = ["table"]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> Iterator[str]:
    """Yield the lines; all columns but the first `words` are numbers."""
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * words}{' ---: |' * (len(head) - words)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
