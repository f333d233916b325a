"""Secrets stand in files of their own, and come out nowhere."""

import argparse
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from packtap.cli import COMMANDS, main
from packtap.simulated.scooter import Plan
from packtap.simulated.wires import Wires
from system.chain import AgentProcess, IngestProcess, adapters, scooter
from system.process import HOST, eventually, free_ports, running
from system.servers import start_mosquitto

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


PASSWORD, TOKEN = "w0rd-that-none-sees", "t0ken-that-none-sees"


def _secret(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_running_services_show_no_secret_in_logs_command_lines_or_environments(
    tmp_path: Path,
) -> None:
    password = _secret(tmp_path / "password", PASSWORD)
    token = _secret(tmp_path / "token", TOKEN)
    (store,) = free_ports(1)  # nobody there: ingest complains at length
    verbose = {"agent": tmp_path / "a", "ingest": tmp_path / "i"}
    for folder in verbose.values():
        folder.mkdir()
    with (
        start_mosquitto(tmp_path, passwords={"pi": PASSWORD, "ingest": PASSWORD}) as broker,
        adapters(tmp_path, "esc", "bms") as lines,
    ):
        ports = "".join(f'[lines.{name}]\nport = "{each.port}"\n' for name, each in lines.items())
        login = f'[mqtt]\nhost = "{HOST}"\nport = {broker.port}\npassword_file = "{password}"\n'
        agent = AgentProcess(
            verbose["agent"],
            f'site = "s"\nagent = "pi"\nbus = "b"\nclock = "trusted"\n'
            f'now_file = "{verbose["agent"]}/now.json"\n{ports}{login}username = "pi"\n'
            f'[store]\npath = "{verbose["agent"]}/agent.db"\nflush_s = 1\n',
        )
        ingest = IngestProcess(
            verbose["ingest"],
            f'{login}username = "ingest"\n[influx]\nurl = "http://{HOST}:{store}"\n'
            f'token_file = "{token}"\n[dead_letter]\npath = "{tmp_path}/dead.jsonl"\n',
        )
        for each in (agent, ingest):
            each._command.append("--verbose")
        with running(ingest), running(agent), scooter(Wires(Plan()), lines):
            eventually(lambda: agent.now()["uplink"]["connected"], "the agent's connection", 120)
            eventually(lambda: ingest.stats().get("retries"), "an attempt to write", 120)
            for each in (agent, ingest):
                for name in ("cmdline", "environ"):
                    shown = Path(f"/proc/{each.pid}/{name}").read_bytes()
                    assert shown
                    assert PASSWORD.encode() not in shown
                    assert TOKEN.encode() not in shown
        now = agent.log.read_text() + ingest.log.read_text()
    assert "connected to broker" in now
    assert f"{HOST}:{store}" in now
    assert PASSWORD not in now
    assert TOKEN not in now
