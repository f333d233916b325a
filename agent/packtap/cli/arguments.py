"""What an option's value may be, in words for people; argparse says the rest and exits 2."""

import argparse
import math

__all__ = ["baud_rate", "days", "delay", "duration", "port"]


def baud_rate(text: str) -> int:
    """Return bits per second, as the configuration allows them."""
    if not (text.isascii() and text.isdigit() and 1200 <= int(text[:7]) <= 921600):
        raise argparse.ArgumentTypeError(f"{text!r} is no baud rate: a number, 1200 to 921600")
    return int(text)


def days(text: str) -> int:
    """Return a number of days, at most twenty years."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 7300):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days: 1 to 7300")
    return int(text)


def delay(text: str) -> float:
    """Return seconds, 0 or more."""
    seconds = _number(text)
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: seconds, 0 or more")
    return seconds


def duration(text: str) -> float:
    """Return seconds, more than 0."""
    seconds = _number(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: seconds, more than 0")
    return seconds


def port(text: str) -> int:
    """Return the number of a TCP port."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 1 to 65535")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
