"""`packtap web`: the page, for one pack on a Pi or for all packs on a server."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from packtap.cli.arguments import port
from packtap.config import WebConfig, load_web
from packtap.errors import ConfigError

_CONFIG: Final = Path("/etc/packtap/web.toml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"configuration (see packtap config example web); default {_CONFIG}",
    )
    direct = parser.add_argument_group("without a configuration file, or in place of its values")
    direct.add_argument(
        "--store",
        type=Path,
        action="append",
        metavar="FILE",
        help="a store of an agent or of ingest; again for more",
    )
    direct.add_argument(
        "--now", type=Path, action="append", metavar="FILE", help="a now-file; again for more"
    )
    direct.add_argument("--bind", metavar="ADDRESS", help="where to listen; default 127.0.0.1")
    direct.add_argument("--port", type=port, metavar="PORT", help="default 8090")
    direct.add_argument(
        "--token-file", type=Path, metavar="FILE", help="needed beyond this machine"
    )
    direct.add_argument("--notice", metavar="TEXT", help="a line that stands above every page")
    parser.add_argument("--verbose", action="store_true", help="log more")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    from packtap.journal import start_log

    start_log(verbose=arguments.verbose)
    config = _config(arguments)
    from packtap.notify import Service
    from packtap.web import serve

    serve(
        config,
        lambda address: print(f"The page is at {address}", flush=True),
        Service.of_this_process(),
    )
    return 0


def _config(arguments: argparse.Namespace) -> WebConfig:
    """Return what the file says, with the options in place of its values."""
    is_direct = arguments.config is None and (arguments.store or arguments.now)
    config = (
        WebConfig(stores=(), now_files=()) if is_direct else load_web(arguments.config or _CONFIG)
    )
    given: dict[str, Any] = {
        "stores": arguments.store and tuple(arguments.store),
        "now_files": arguments.now and tuple(arguments.now),
        "bind": arguments.bind,
        "port": arguments.port,
        "token_file": arguments.token_file,
        "notice": arguments.notice,
    }
    try:
        return replace(config, **{name: value for name, value in given.items() if value})
    except ValueError as error:
        raise ConfigError([str(error)], "packtap web") from error
