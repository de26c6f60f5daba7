"""YAML as a reader types it: values and nothing that only looks like one."""

from pathlib import Path

import yaml

from radlib import regular_file
from radlib.errors import RadlibError

# What PyYAML raises for what is no YAML, for depth, and for tags that do not fit, such as ``!!bool x``.
ODD = (yaml.YAMLError, RecursionError, LookupError, AttributeError, TypeError)
MOST_BYTES = 100_000  # of a file; the paper's settings have 3,000
MOST_VALUES = 10_000  # with every reference *name written out; the paper's settings have 250


def read(text: str) -> object:
    """The value that `text` says in YAML: text, numbers, dates, true, false, null, lists and mappings.

    Raises ValueError, saying why in one line, for what is no YAML, for a key that stands twice in a mapping (the first
    would be lost), and for references that go round in a circle or make thousands of values of a line.
    """
    try:
        if _count(yaml.compose(text, yaml.SafeLoader), {}) > MOST_VALUES:
            raise ValueError(f"it holds more than {MOST_VALUES:,} values; write less")
        return yaml.safe_load(text)
    except ODD as error:
        raise ValueError(" ".join(str(error).split()) or "it is no value") from error


def read_file(path: Path) -> object:
    """What the YAML file `path` says; raises RadlibError, naming it, where `read` or `regular_file.read` refuses."""
    try:
        return read(regular_file.read(path, MOST_BYTES).decode("utf-8-sig"))
    except ValueError as error:
        raise RadlibError(f"{path} cannot be read as YAML ({error}); mend it.") from error


def _count(node: yaml.Node | None, counted: dict[int, int]) -> int:
    """Values below `node`, itself included; `counted` holds those of the nodes that were seen, 0 while one is open."""
    if node is None or isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in counted:
        counted[id(node)] = 0
        inside = node.value
        if isinstance(node, yaml.MappingNode):
            _check_keys([key for key, _ in inside])
            inside = [one for pair in inside for one in pair]
        counted[id(node)] = 1 + sum(_count(one, counted) for one in inside)
    elif not counted[id(node)]:
        raise ValueError("a part of it refers to itself; write it out")
    return counted[id(node)]


def _check_keys(keys: list[yaml.Node]) -> None:
    seen = set()
    for key in keys:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise ValueError(f"'{key.value}' stands twice, again in line {key.start_mark.line + 1}; keep one")
            seen.add(key.value)
