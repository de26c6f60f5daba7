"""What a notebook's parameters cell says, with types and names checked before anything long begins."""

from collections.abc import Mapping
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from radlib.errors import RadlibError

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], given: Mapping[str, object]) -> Model:
    """`given` as a `model`; raises RadlibError naming the first parameter that does not fit, and what it was given."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise RadlibError(f"Parameter '{name}' is {first.get('input')!r}: {first['msg']}.") from error


def list_of_names(given: object) -> object:
    """A list as papermill's -p gives one, which is its text ``['a', 'b']``, or a bare name where a list is meant."""
    if not isinstance(given, str):
        return given
    if given.strip().startswith("["):
        try:
            return yaml.safe_load(given)
        except yaml.YAMLError as error:
            raise ValueError("this is no list; write it as ['a', 'b']") from error
    return (given,)


def mapping(given: object) -> object:
    """A mapping as papermill's -p gives one, which is its text ``{'a': 1}``."""
    if not isinstance(given, str):
        return given
    try:
        return yaml.safe_load(given) or {}
    except yaml.YAMLError as error:
        raise ValueError("this is no mapping; write it as {'name': value}") from error
