"""What a recording or a visit is judged by, floor 1: a fleet's own limits and prices.

The tables `[pack]`, `[[pack_model]]` and `[prices]` of a TOML file. It may be the file of an agent:
its other tables are left alone, so what the agent calls a fault is one for `diagnose` too.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

from packtap.config.agent import AgentConfig
from packtap.config.files import read_toml
from packtap.config.keys import ContradictionError, about
from packtap.config.pack import PackConfig
from packtap.config.pack_model import PackModelConfig, model_problems
from packtap.config.prices import Prices, prices_of
from packtap.errors import ConfigError

__all__ = ["Judging", "load_judging"]

_PRICES: Final = "prices"
_JUDGES: Final = ("pack", "pack_model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """What to judge by.

    Attributes:
        pack: limits.
        pack_model: what holds instead for packs of a model; the first that fits counts.
    """

    pack: PackConfig = field(default_factory=PackConfig, metadata=about("Limits."))
    pack_model: tuple[PackModelConfig, ...] = field(
        default=(), metadata=about("Limits of one model of pack.")
    )

    def __post_init__(self) -> None:
        if problems := model_problems(self.pack_model, self.pack):
            raise ContradictionError(problems)


def load_judging(path: Path | str) -> tuple[Judging, Prices | None]:
    """Return what a file says of limits, and of prices; None: it names none.

    Raises:
        ConfigError: with every problem of these tables, or because it holds none of them.
    """
    # Here, so that commands which read no file start without cattrs.
    from packtap.config.structure import Places, structure

    path = Path(path)
    table = read_toml(path)
    named: dict[str, object] = {key: table[key] for key in _JUDGES if key in table}
    known = {*named, _PRICES, *(each.name for each in fields(AgentConfig))}
    if not table.keys() & known:
        raise ConfigError(
            ["there is no table [pack], [[pack_model]] or [prices] to judge by"], str(path)
        )
    judging, problems = structure(Judging, named, Places(path.absolute().parent, None))
    if judging is None:
        raise ConfigError([str(problem) for problem in problems], str(path))
    return judging, prices_of(table, path) if _PRICES in table else None
