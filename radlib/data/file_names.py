"""Names of files as a list writes them and as the disk holds them: Unicode forms, Windows' backslashes, upper case."""

import functools
import os
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath


def on_disk(root: Path, names: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """For `names` below `root` under which no file is found: the files that they mean, and those that are near.

    The first holds, name by name, the one file whose name is the same text: with Windows' backslashes for slashes, or
    with ``ö`` as one character or as two. The second holds those that differ in upper and lower case, which is another
    name on some disks and the same on others. Names for which neither is found are in neither.
    """

    @functools.cache  # a folder is listed once, however many names lie in it
    def listed(folder: str, form: Callable[[str], str]) -> dict[str, list[str]]:
        by_form: dict[str, list[str]] = {}
        try:
            for each in os.listdir(folder):
                by_form.setdefault(form(each), []).append(each)
        except (OSError, ValueError):
            pass
        return by_form

    def found(name: str, form: Callable[[str], str]) -> str:
        here = ""
        for part in PurePosixPath(name.replace("\\", "/")).parts:
            if part != ".." and not os.path.lexists(root / here / part):
                alike = listed(os.path.join(root, here), form).get(form(part), [])
                if len(alike) != 1:
                    return ""
                (part,) = alike
            here = os.path.join(here, part)
        return here if os.path.isfile(os.path.join(root, here)) else ""

    same, near = {}, {}
    for name in names:
        if meant := found(name, composed):
            same[name] = meant
        elif other := found(name, caseless):
            near[name] = other
    return same, near


def composed(name: str) -> str:
    """The Unicode form in which ``ö`` is one character."""
    return unicodedata.normalize("NFC", name)


def caseless(name: str) -> str:
    """`composed`, upper and lower case alike."""
    return composed(name).casefold()


def key(name: str) -> str:
    """Equal for two ways to write one path: ``./a.png``, ``b/../a.png`` and, as many disks take it, ``A.PNG``."""
    return caseless(os.path.normpath(name))
