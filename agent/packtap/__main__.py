"""`python -m packtap`: the same as the `packtap` command."""

import sys

from packtap.cli import main

sys.exit(main())
