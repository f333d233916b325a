"""Who else may read or change a file, floor 1: secrets and configurations with wrong modes.

A file that others may read holds no secret; a configuration that everybody may change is nobody's.
Both are refused, with the command that puts it right. systemd gives credentials modes of its own,
and Windows has none.
"""

import os
import stat
from pathlib import Path

__all__ = ["configuration_problem", "secret_problem"]


def secret_problem(path: Path, credentials: Path | None = None) -> str | None:
    """Return why a file cannot hold a secret, or None.

    Args:
        path: the file, which is there.
        credentials: folder in which systemd puts credentials; what is in it is not judged.
    """
    if os.name != "posix" or (credentials is not None and path.parent == credentials):
        return None
    mode = _mode(path)
    if mode & 0o077:
        return f"others may read {path} (mode {mode:o}): chmod 600 {path}"
    return None


def configuration_problem(path: Path) -> str | None:
    """Return why what stands in a file may be anybody's words, or None."""
    if os.name != "posix":
        return None
    mode = _mode(path)
    if mode & 0o002:
        return f"everybody may change this file (mode {mode:o}): chmod o-w {path}"
    return None


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:  # gone meanwhile: whoever reads it says so
        return 0o600
