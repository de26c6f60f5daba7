"""What a notebook's parameters cell says, with types and names checked before anything long begins."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from radlib.errors import RadlibError, unknown_name

Model = TypeVar("Model", bound=BaseModel)
Pixels = Annotated[int, Field(gt=0, le=2048)]  # side of a square image; the paper's largest is SAM's 1,024
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # scikit-learn takes no larger one


# What pydantic says of these kinds of error speaks of Python and not of what to write.
IN_WORDS = {
    "int_type": "a whole number is wanted",
    "int_parsing": "a whole number is wanted",
    "int_from_float": "a whole number is wanted",
    "float_type": "a number is wanted",
    "float_parsing": "a number is wanted",
    "string_type": "text is wanted",
    "greater_than": "a number above {gt} is wanted",
    "greater_than_equal": "at least {ge} is wanted",
    "less_than": "a number below {lt} is wanted",
    "less_than_equal": "at most {le} is wanted",
    "literal_error": "{expected} is wanted",
    "dict_type": "a mapping is wanted, as {{'a': 1}}",
    "missing": "this entry is missing",
    "mapping_type": "a mapping is wanted, as {{'a': 1}}",
    "value_error": "{error}",
    "tuple_type": "a list is wanted, as ['a', 'b'] or [0.01, 0.1]",
    "too_short": "at least {min_length} is needed",
    "finite_number": "a finite number is wanted",
    "bool_parsing": "true or false is wanted",
}


def validated(model: type[Model], given: Mapping[str, object], called: Mapping[str, str] | None = None) -> Model:
    """`given` as a `model`; raises RadlibError naming the first parameter that does not fit, and what it was given.

    `called` says which of the model's parameters a notebook calls otherwise, and how.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field, *inside = (str(part) for part in first["loc"])
        name = ".".join([(called or {}).get(field, field), *inside])
        if first["type"] == "extra_forbidden":
            raise unknown_name("parameter", name, sorted(model.model_fields)) from error
        said = IN_WORDS.get(first["type"], "{msg}").format(msg=first["msg"], **first.get("ctx", {}))
        raise RadlibError(f"Parameter '{name}' is {first.get('input')!r}: {said}.") from error


def in_project(place: str | Path) -> Path:
    """`place`; if relative, from the root of the checkout that the working folder lies in.

    So a notebook that is opened in its own folder writes and reads where ``radlib run`` does. Outside a checkout it
    is relative to the working folder.
    """
    here = Path.cwd()
    marks = ("_config.yml", "pyproject.toml")
    roots = [folder for folder in (here, *here.parents) if all((folder / mark).is_file() for mark in marks)]
    return roots[0] / place if roots and roots[0] != here else Path(place)


def yaml_value(text: str) -> object:
    """The value of `text`, YAML as on the command line; raises ValueError with the reason for anything else."""
    try:
        return yaml.safe_load(text)
    # PyYAML raises the last four for nesting that is too deep and for tags that do not fit, such as ``!!bool x``.
    except (yaml.YAMLError, RecursionError, LookupError, AttributeError, TypeError) as error:
        raise ValueError(" ".join(str(error).split()) or "it is no value") from error


def list_of_names(given: object) -> object:
    """A list as papermill's -p gives one, which is its text ``['a', 'b']``, or a bare name where a list is meant."""
    if not isinstance(given, str):
        return given
    if given.strip().startswith("["):
        try:
            return yaml_value(given)
        except ValueError as error:
            raise ValueError("this is no list; write it as ['a', 'b']") from error
    return (given,)


def mapping(given: object) -> object:
    """A mapping as papermill's -p gives one, which is its text ``{'a': 1}``."""
    if not isinstance(given, str):
        return given
    try:
        return yaml_value(given) or {}
    except ValueError as error:
        raise ValueError("this is no mapping; write it as {'name': value}") from error
