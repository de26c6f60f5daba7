"""Words that may be sent to a stranger: the home folder is ``~``, other private folders are ``…/name``, no patient ids.

What radlib prints names files, because a reader must find them. Who asks for help sends that text on. What stands in
quotes is told only where each of its words stands in radlib's own code too: a parameter does, a patient does not.
"""

import contextlib
import functools
import os
import re
from collections.abc import Iterable
from pathlib import Path

# An absolute path of two parts or more, as sentences hold them: up to a space, a quote, a comma or the end.
POSIX = re.compile(r"(?:(?<![\w.~…:/])|(?<=\bfile:))/(?:[^\s/'\"<>|,;()]+/)+[^\s/'\"<>|,;()]*")
WINDOWS = re.compile(r"(?<!\w)[A-Za-z]:[\\/](?:[^\s\\/'\"<>|,;()]+[\\/])*[^\s\\/'\"<>|,;()]*")
SHARE = re.compile(r"(?<![\w:/])//[^\s/'\"<>|,;()]+(?:/[^\s/'\"<>|,;()]+)+")
QUOTED = re.compile(r"(?<=')/[^'\n]+(?=')|(?<=\")/[^\"\n]+(?=\")")
PATIENT = re.compile(r"(?i)\b(patients?(?: ids?)?)(\s*[:=]?\s*)(?!s\b)('[^'\n]*'|\"[^\"\n]*\"|(?=\S*\d)[\w.-]+)")
WORDS = re.compile(r"(?<!\w)'([^'\n]+)'(?!\w)")
# Names of images hold ids: only their kind is told.
IMAGE_KINDS = r"(?:png|jpe?g|tiff?|bmp|dcm|mat|nii(?:\.gz)?)"
IMAGE = re.compile(rf"(?i)(?<![\w.-])[^\s/\\'\"<>|,;]+(\.{IMAGE_KINDS})(?!\w)")
PUBLIC = ("/usr/", "/opt/", "/proc/", "/sys/", "/dev/", "/etc/")


def public(text: str, also: Iterable[str | Path] = ()) -> str:
    """`text` without what tells who or where: folders, the user's and the machine's name, patient ids.

    also: folders of the reader (a data root), whose paths may hold spaces.
    Of a path outside of the home folder only the last part stays; of system folders all of it.
    """
    for folder in sorted(map(str, also), key=len, reverse=True):
        if len(folder) > 1:
            mark = f"…/{Path(folder).name}"
            text = text.replace(folder, mark)
            # Below it lie names that the reader chose: pictures, with spaces in them, and files without an ending.
            text = re.sub(rf"({re.escape(mark)})/[^\n'\",;:()]*?(\.{IMAGE_KINDS})(?!\w)", r"\1/(image)\2", text)
            text = re.sub(rf"({re.escape(mark)}/)([^\s'\",;:()]+)", _known_file, text)
    home = str(Path.home())
    if len(home) > 1:
        text = re.sub(re.escape(home) + r"(?=[/\\\s'\".,;:)]|$)", "~", text)
    for pattern in (QUOTED, SHARE, POSIX, WINDOWS):
        text = pattern.sub(_last_part, text)
    text = IMAGE.sub(r"(image)\1", text)
    text = PATIENT.sub(r"\1\2(id)", text)
    text = WORDS.sub(lambda match: match.group() if _ours(match[1]) else "'(word)'", text)
    for name in _names():
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "(name)", text)
    return text


def _known_file(match: re.Match[str]) -> str:
    return match.group() if _ours(match[2].removeprefix("(image)")) else f"{match[1]}(file)"


def _ours(words: str) -> bool:
    """Whether every word of `words` stands in radlib's own code, and none is a number."""
    return all(word.lower() in _vocabulary() for word in re.findall(r"\w+", words))


@functools.cache
def _vocabulary() -> frozenset[str]:
    """Words of two letters or more in the package's own files, small."""
    root = Path(__file__).resolve().parent
    files = [path for ending in ("py", "csv", "toml") for path in root.rglob(f"*.{ending}")]
    text = " ".join(path.read_text(encoding="utf-8") for path in files)
    return frozenset(word.lower() for word in re.findall(r"[^\W\d]\w+", text))


def _last_part(match: re.Match[str]) -> str:
    path = match.group()
    if path.startswith(PUBLIC):
        return path
    return "…/" + re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def _names() -> list[str]:
    """How this user and this machine are called, where that tells anything."""
    import getpass
    import platform

    names = [platform.node(), os.environ.get("USER", "")]
    with contextlib.suppress(OSError, KeyError, ImportError):  # a user without a name, as in containers
        names.append(getpass.getuser())
    return sorted(
        {name for name in names if len(name) > 3 and name not in ("root", "localhost")}, key=len, reverse=True
    )
