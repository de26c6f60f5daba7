"""Where the paper's text, its authors' code and radlib part ways, as data; see the head of ``differences.toml``."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from radlib import paper


@dataclass(frozen=True)
class Difference:
    """One point; see the head of ``differences.toml`` for what the fields mean."""

    id: str
    where: str
    title: str
    code: str
    here: str
    paper: str = ""
    theirs: str = ""
    unmeasured: str = ""


@cache
def differences() -> tuple[Difference, ...]:
    """All of them, stage by stage."""
    content = tomllib.loads(files(paper).joinpath("differences.toml").read_text(encoding="utf-8"))
    return tuple(Difference(**entry) for entry in content["difference"])
