"""Inside the container: an emulated scooter (simulated), its ports behind lasting names.

python scooter.py BUS
"""

import json
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Emulate until interrupted; the names vanish with the ports."""
    bus = sys.argv[1]
    seed = bus.rpartition("-")[2]
    words = ["/opt/packtap/bin/packtap", "simulate", "--json", "--seed", seed]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as scooter:
        assert scooter.stdout is not None
        names = []
        for line, port in json.loads(scooter.stdout.readline()).items():
            name = Path(f"/run/scooter/{bus}-{line}")
            name.unlink(missing_ok=True)
            name.symlink_to(port)
            names.append(name)
        try:
            scooter.wait()
        except KeyboardInterrupt:
            scooter.wait()
        finally:
            for name in names:
                name.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
