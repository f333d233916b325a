"""What is asked for is not there: the answer is 404, with words."""

from packtap.errors import PacktapError

__all__ = ["MissingError"]


class MissingError(PacktapError):
    """What is asked for is not there."""
