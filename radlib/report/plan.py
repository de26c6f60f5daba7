"""What the whole book takes, as a file that a scheduler reads: datasets to check, features, pages, and what needs what.

The file is plain JSON, so that the scheduler need not import radlib: on a cluster it reads the file once a job.
"""

import ast
import hashlib
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import papermill
import yaml

from radlib import assets, strict_yaml
from radlib.data import catalog, identity, open_scans, origin, standins
from radlib.errors import RadlibError, unknown_name
from radlib.report import page, reads
from radlib.report.frozen import Frozen
from radlib.report.parameters import list_of_names

IMAGES_A_JOB = 8192  # of the paper's cohorts, half an hour of a ViT-L on one GPU; shards stay what a killed job loses
LONGEST_NAME = 60  # characters of a backbone's name in a file's
STANDIN_PARTS = 2  # a stand-in has a few hundred images: two jobs, so that it goes the way that real data go
EVERY_PAGE = "all"  # in a file of settings: parameters of every page that knows them
DATASETS = ("datasets", "mask_datasets")  # parameters that name datasets
Given = Mapping[str, Mapping[str, Any]]  # page, or EVERY_PAGE -> parameters to set


def plan(
    names: Sequence[str] = (), given: Given | None = None, above_all: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What pages `names` (all, if none is named) take, with parameters `given`.

    Of one parameter a page's own value counts before that of all pages, and before both what `above_all` says of it.

    Returns ``pages`` (short name -> notebook, output, arguments of ``radlib run`` and their digest, datasets, frozen),
    ``datasets`` (id -> root, whether it is simulated, and a hash of what is there) and ``frozen`` (key -> dataset,
    kind, arguments of ``radlib features``, parts).

    Raises RadlibError for unknown pages, datasets and parameters, and for values that a page would refuse.
    """
    known = page.notebooks()
    for name in names:
        if name not in known:
            raise unknown_name("notebook", name, known)
    pages = {name: known[name] for name in known if not names or name in names}
    told = {name: _parameters(path) for name, path in pages.items()}
    mine = {name: page.plain(values) for name, values in _dealt(told, given or {}, above_all or {}).items()}
    found: dict[str, Any] = {"pages": {}, "datasets": {}, "frozen": {}}
    merged = _merged({name: reads.frozen(name, {**told[name], **mine[name]}) for name in pages})
    for name, path in pages.items():
        values = {**told[name], **mine[name]}
        root = str(values.get("data_root", ""))
        here = [each for each in _datasets(values) if (root or standins.exists(each)) and each not in open_scans.SCANS]
        found["datasets"].update({each: _dataset(each, root) for each in here})
        found["pages"][name] = {
            "notebook": str(path),
            "output": str(page.output_of(path)),
            "arguments": shlex.join(_arguments(mine[name])),
            "asked": page.digest(mine[name]),
            "datasets": here,
            "frozen": [_key(one) for one in merged[name]],
        }
        found["frozen"].update({_key(one): _job(one) for one in merged[name] if one.dataset in here})
    return found


def settings(path: Path) -> dict[str, dict[str, Any]]:
    """A YAML file of settings: page, or ``all`` -> parameters; raises RadlibError if it is none."""
    read = strict_yaml.read_file(path)
    tables = [read, *read.values()] if isinstance(read, dict) else [read]
    if not all(isinstance(table, dict) and all(isinstance(name, str) for name in table) for table in tables):
        raise RadlibError(f"{path} is no table of pages; write a page's name and below it its parameters.")
    return cast(dict[str, dict[str, Any]], read)


def _parameters(notebook: Path) -> dict[str, Any]:
    """What the parameters cell says, by name."""
    read = papermill.inspect_notebook(str(notebook))
    return {name: ast.literal_eval(one["default"]) for name, one in read.items()}


def _dealt(
    told: Mapping[str, Mapping[str, Any]], given: Given, above_all: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The parameters that each page is given: its own, and those of all pages that it knows."""
    for name, values in [*given.items(), (EVERY_PAGE, above_all)]:
        if name != EVERY_PAGE and name not in page.notebooks():
            raise unknown_name("notebook", name, [EVERY_PAGE, *page.notebooks()])
        knows = [told[name]] if name in told else list(told.values()) if name == EVERY_PAGE else []
        for parameter in values:
            if knows and not any(parameter in one for one in knows):
                of = "any page" if name == EVERY_PAGE else name
                raise unknown_name(f"parameter of {of}", parameter, {key for one in knows for key in one})
    shared = given.get(EVERY_PAGE, {})
    return {
        name: {key: value for key, value in {**shared, **given.get(name, {}), **above_all}.items() if key in values}
        for name, values in told.items()
    }


def _arguments(values: Mapping[str, Any]) -> list[str]:
    words = []
    for name, value in values.items():
        words += ["-p", name, yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()]
    return words


def _datasets(values: Mapping[str, Any]) -> list[str]:
    named = [list_of_names(values[name]) for name in DATASETS if name in values]
    if not named:
        return []
    flat = [str(name) for names in named if isinstance(names, (list, tuple)) for name in names]
    return list(dict.fromkeys(flat or catalog.TASKS))  # Table 1 takes none for all


def _dataset(name: str, data_root: str) -> dict[str, Any]:
    catalog.check_name(name)
    if not data_root:
        root = assets.cache_dir() / "standins" / name
        return {"root": str(root), "standin": True, "state": f"version {standins.generator(name).VERSION}"}
    below = Path(data_root) / name
    root = below if os.path.isdir(below) else Path(data_root)
    return {"root": str(root), "standin": False, "state": _state(root)}


def _state(root: Path) -> str:
    """A hash of every file's place and sign below `root`: what changed is looked at again, nothing is opened."""
    if not os.path.isdir(root):  # the check will say so
        return "absent"
    seen = hashlib.sha256()
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(folder, name)
            try:
                seen.update(f"{os.path.relpath(path, root)}\0{identity.sign(path)}\0".encode())
            except OSError:  # a link to nothing; the check will say so
                continue
    return seen.hexdigest()[:24]


def _merged(by_page: Mapping[str, Sequence[Frozen]]) -> dict[str, list[Frozen]]:
    """Tokens of five blocks serve those who read one: all pages wait for the most blocks that any of them reads."""
    most: dict[Frozen, int] = {}
    for one in (one for asked in by_page.values() for one in asked if one.blocks):
        alike = replace(one, blocks=0)
        most[alike] = max(most.get(alike, 0), one.blocks)
    return {
        name: [replace(one, blocks=most[replace(one, blocks=0)]) if one.blocks else one for one in asked]
        for name, asked in by_page.items()
    }


def _key(one: Frozen) -> str:
    """A name for people that tells `one` from all others, fit for a file and a shell, whatever its parts are called."""
    rest = hashlib.sha256(repr(asdict(one)).encode()).hexdigest()[:8]
    backbone = re.sub(r"[^A-Za-z0-9_.-]+", "-", one.backbone).strip(".-")[:LONGEST_NAME]
    return f"{one.dataset}.{backbone}.{one.image_size}.{one.kind}.{rest}"


def _job(one: Frozen) -> dict[str, Any]:
    words = [one.dataset, "--backbone", one.backbone, "--image-size", str(one.image_size)]
    words += ["--patch-blocks", str(one.blocks), "--samples", str(one.samples), "--seed", str(one.seed)]
    words += ["--protocol", one.protocol, "--device", one.device]
    words += ["--data-root", one.data_root] if one.data_root else []
    return {"dataset": one.dataset, "kind": one.kind, "arguments": shlex.join(words), "parts": _parts(one)}


def _parts(one: Frozen) -> int:
    if not one.data_root:
        return STANDIN_PARTS
    counts = origin.paper_counts(one.dataset)
    images = int(counts["images"][counts["split"] == "all"].iloc[0]) if len(counts) else IMAGES_A_JOB
    return max(1, -(-min(images, one.samples or images) // IMAGES_A_JOB))
