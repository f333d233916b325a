"""Inside a service: may it ask the kernel about its clock? The answer goes into a file."""

import ctypes
import sys
from pathlib import Path

if __name__ == "__main__":
    state = ctypes.create_string_buffer(1024)  # modes = 0: only ask
    Path(sys.argv[1]).write_text(str(ctypes.CDLL(None).adjtimex(state)))
