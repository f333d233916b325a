"""Secrets stand in files of their own, and come out nowhere."""

import argparse
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from packtap.cli import COMMANDS, main

_SECRET_NAME = re.compile(r"password|passwd|token|secret|\bkey\b", re.IGNORECASE)


def _options(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _options(below)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_option_takes_a_secret_only_files_that_hold_one(command: str) -> None:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"packtap.cli.{command}").add_arguments(parser)
    for option in _options(parser):
        if any(_SECRET_NAME.search(name) for name in option.option_strings):
            assert option.type is Path or option.nargs == 0, option.option_strings


AGENT = 'site = "s"\nagent = "a"\nbus = "b"\n[lines.bms]\nport = "/dev/null-x"\n'


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (AGENT + '[mqtt]\nhost = "h"\npassword = "w0rd-that-none-sees"\n', "mqtt.password"),
        (AGENT + '[mqtt]\nhost = "h"\ntoken = "w0rd-that-none-sees"\n', "mqtt.token"),
        (
            '[mqtt]\nhost = "h"\n[influx]\nurl = "http://u:w0rd-that-none-sees@h"\n',
            "influx.url",
        ),
        (
            '[mqtt]\nhost = "h"\n[influx]\nurl = "http://h?token=w0rd-that-none-sees"\n',
            "influx.url",
        ),
    ],
    ids=["password", "token", "user in the address", "token in the address"],
)
@pytest.mark.parametrize("option", [(), ("--json",)], ids=["text", "json"])
def test_secret_in_a_configuration_is_refused_and_not_repeated(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    word: str,
    option: tuple[str, ...],
) -> None:
    file = tmp_path / "x.toml"
    file.write_text(text)
    assert main(["config", "check", *option, str(file)]) == 2
    said = capsys.readouterr()
    assert word in said.out + said.err
    assert "w0rd-that-none-sees" not in said.out + said.err


def test_keys_are_never_printed_by_fleet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet, out = str(tmp_path / "fleet"), str(tmp_path / "x.toml")
    for words in (
        ["init", "--broker", "h", "--dir", fleet],
        ["enrol", "pi-01", "--dir", fleet, "--out", out],
        ["list", "--dir", fleet, "--json"],
        ["install", out, "--dir", str(tmp_path / "tls")],
        ["revoke", "pi-01", "--dir", fleet],
    ):
        assert main(["fleet", *words]) == 0
    said = capsys.readouterr()
    assert "PRIVATE" not in said.out + said.err
    (key,) = re.findall(r"key = '''(.*?)'''", Path(out).read_text(), re.DOTALL)
    assert not [line for line in key.split("\n")[1:-2] if line in said.out + said.err]
