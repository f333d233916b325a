"""The configuration of the page: nobody beyond this machine gets in without a token."""

from pathlib import Path

import pytest

from packtap.config import WebConfig, example_web, inspect_file, load_web
from packtap.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "web.toml"


def problems(file: Path, text: str) -> list[str]:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_web(file)
    return list(caught.value.problems)


def test_an_empty_file_means_this_machine_only(file: Path) -> None:
    file.write_text("")
    assert load_web(file) == WebConfig()
    assert WebConfig().bind == "127.0.0.1"


def test_every_key_of_the_example_may_be_uncommented(file: Path) -> None:
    (file.parent / "web-token").write_text("0123456789abcdef")
    (file.parent / "web-token").chmod(0o600)
    lines = [line.removeprefix("#") for line in example_web().splitlines() if line[:2] != "# "]
    file.write_text("\n".join(lines))
    config = load_web(file)
    assert config.token_file == file.parent / "web-token"
    assert config.stores == WebConfig().stores


def test_paths_are_relative_to_the_file(file: Path) -> None:
    file.write_text('stores = ["a/*.db", "/b.db"]\nnow_files = []')
    assert load_web(file).stores == (file.parent / "a/*.db", Path("/b.db"))
    assert load_web(file).now_files == ()


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.7"])
def test_beyond_this_machine_a_token_is_needed(file: Path, address: str) -> None:
    (problem,) = problems(file, f'bind = "{address}"')
    assert problem.startswith(f"token_file: missing: bind = {address!r} lets other machines in")
    assert "chmod 600" in problem
    (file.parent / "secret").write_text("0123456789abcdef")
    (file.parent / "secret").chmod(0o600)
    file.write_text(f'bind = "{address}"\ntoken_file = "secret"')
    assert load_web(file).bind == address


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "127.1.2.3"])
def test_on_this_machine_none_is_needed(file: Path, address: str) -> None:
    file.write_text(f'bind = "{address}"')
    assert load_web(file).token_file is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('bind = "localhost"', "bind: 'localhost' is not an IP address; allowed: an IP address"),
        ("port = 0", "port: 0 is outside 1 to 65535"),
        ('stores = "x.db"', "stores: the text 'x.db', but a list in [ ] is needed"),
        ("stores = [1]", "stores.0: the whole number 1, but a text in quotes is needed"),
        ('hosts = ["pi:80"]', "hosts: 'pi:80' cannot be used; allowed: a host name without port"),
        ('token = "x"', "token: a secret must not stand in this file"),
        ('token_file = "absent"', "token_file: no file "),
        ('[mqtt]\nhost = "b"', "mqtt: unknown key"),
    ],
)
def test_a_mistake_is_named_with_its_key(file: Path, text: str, problem: str) -> None:
    (found,) = problems(file, text)
    assert found.startswith(problem)


def test_a_text_is_no_list_of_its_letters(file: Path) -> None:
    file.write_text('hosts = "pi"')
    assert [problem.path for problem in inspect_file(file).problems] == ["hosts"]
