"""An uplink in a process of its own, to be killed: python uplink_process.py STORE PORT BOOT."""

import sys
import threading
from pathlib import Path

from packtap.config import MqttConfig
from packtap.uplink import Uplink


def main() -> None:
    """Deliver until killed."""
    uplink = Uplink(
        MqttConfig(host="127.0.0.1", port=int(sys.argv[2])),
        site="depot",
        agent="pi",
        bus="a",
        store_path=Path(sys.argv[1]),
        remove_every_s=30.0,
        boot=sys.argv[3],
    )
    uplink.start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
