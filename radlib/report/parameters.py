"""What a notebook's parameters cell says, with types and names checked before anything long begins."""

from collections.abc import Mapping
from typing import TypeVar

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


def one_is_a_list_of_one(given: object) -> object:
    """A bare string where a list of names is meant."""
    return (given,) if isinstance(given, str) else given
