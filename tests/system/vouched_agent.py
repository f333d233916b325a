"""packtap whose kernel vouches for the clock exactly while a file is there.

    python vouched_agent.py FILE agent --config ...

A process cannot be told by `libfaketime` what the kernel says of its synchronisation, and the
kernel of the machine that runs the tests says it of itself. Everything else is packtap as it is.
"""

import sys
from pathlib import Path

from packtap.cli import main
from packtap.clock import Clock

if __name__ == "__main__":
    word = Path(sys.argv[1])
    defaults = Clock.__init__.__kwdefaults__
    assert defaults is not None
    defaults["synchronised"] = word.exists
    sys.exit(main(sys.argv[2:]))
