"""What the machine says of itself; what cannot be read is unknown."""

from pathlib import Path

import pytest

from packtap.host import HostFigures, host_figures


def test_the_figures_of_this_machine_are_whole_numbers(tmp_path: Path) -> None:
    sensor = tmp_path / "temp"
    sensor.write_text("51540\n")
    figures = host_figures(tmp_path / "packtap.db", sensor)
    assert figures.temperature_c == 52
    assert figures.disk_free_bytes is not None
    assert figures.disk_free_bytes > 0
    assert figures.load_pct is not None
    assert figures.load_pct >= 0


@pytest.mark.parametrize("text", ["", "hot", "51.5"])
def test_a_sensor_that_says_nothing_sensible_is_unknown(tmp_path: Path, text: str) -> None:
    sensor = tmp_path / "temp"
    sensor.write_text(text)
    assert host_figures(tmp_path / "packtap.db", sensor).temperature_c is None


def test_what_is_not_there_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.getloadavg")
    figures = host_figures(tmp_path / "gone" / "packtap.db", tmp_path / "no-sensor")
    assert figures == HostFigures(None, None, None)
