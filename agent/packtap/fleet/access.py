"""Who may publish and read what, as mosquitto's access list, floor 4.

The user name of a client is the common name of its certificate (`use_identity_as_username`), so
`%u` is an identity that the authority has signed and not what a client says of itself.

A revoked certificate cannot connect again. A connection that it holds open already stays open: that
one is shut out by its name, from the moment in which the broker reads this file.
"""

from collections.abc import Iterable
from typing import Final

from packtap.wire import TOPIC_ROOT

__all__ = ["INGEST_USER", "RESERVED", "access_list"]

INGEST_USER: Final = "packtap-ingest"
#: Names that no device may have.
RESERVED: Final = frozenset({INGEST_USER})

_HEAD: Final = f"""\
# Made by packtap fleet, anew at each change. mosquitto reads it at its start and at a reload.

# Ingest reads everything, and nobody else reads anything.
user {INGEST_USER}
topic read {TOPIC_ROOT}/#

# A device publishes under its own name only: %u is the common name of its certificate.
pattern write {TOPIC_ROOT}/+/%u/#
"""


def access_list(shut_out: Iterable[str]) -> str:
    """Return the text of the access list.

    Args:
        shut_out: agents whose certificates are revoked.
    """
    denied = "".join(f"\n# Revoked.\nuser {name}\ntopic deny #\n" for name in shut_out)
    return _HEAD + denied
