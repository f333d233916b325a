"""`packtap dashboards`: Grafana's dashboards, alert rules and provisioning, from the rows."""

import argparse
import json
from pathlib import Path
from typing import Final

from packtap.dashboards import files
from packtap.errors import PacktapError

_EPILOG: Final = """\
Exit codes: 0 written, or with --check all as they should be; 1 --check: some are not; 2 usage."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = _EPILOG
    parser.add_argument("folder", type=Path, metavar="OUT", help="folder to write to")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; name the files that differ"
    )
    parser.add_argument("--json", action="store_true", help="one object a file")


def run(arguments: argparse.Namespace) -> int:
    """Write, or compare."""
    differ = 0
    for name, text in files().items():
        path = arguments.folder / name
        try:
            same = path.is_file() and path.read_text(encoding="utf-8") == text
            if not same and not arguments.check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
        except (OSError, ValueError) as exc:
            raise PacktapError(f"{path} cannot be used: {exc}") from exc
        state = "same" if same else ("differs" if arguments.check else "written")
        differ += not same
        if arguments.json:
            print(json.dumps({"kind": "file", "path": name, "state": state}))
        else:
            print(f"{state:<8} {path}")
    return 1 if arguments.check and differ else 0
