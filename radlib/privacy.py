"""Words that may be sent to a stranger: the home folder is ``~``, other private folders are ``…/name``, no patient ids.

What radlib prints names files, because a reader must find them. Who asks for help sends that text on.
"""

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

# An absolute path of two parts or more, as sentences hold them: up to a space, a quote, a comma or the end.
POSIX = re.compile(r"(?<![\w.~…:/])/(?:[^\s/'\"<>|,;()]+/)+[^\s/'\"<>|,;()]*")
WINDOWS = re.compile(r"(?<!\w)[A-Za-z]:\\(?:[^\s\\'\"<>|,;()]+\\)*[^\s\\'\"<>|,;()]*")
QUOTED = re.compile(r"(?<=')/[^'\n]+(?=')|(?<=\")/[^\"\n]+(?=\")")
PATIENT = re.compile(r"(?i)\b(patients?(?: ids?)?)(\s*[:=]?\s*)(?!s\b)('[^'\n]*'|\"[^\"\n]*\"|(?=\S*\d)[\w.-]+)")
# Names of images hold ids: only their kind is told.
IMAGE = re.compile(r"(?i)(?<![\w.-])[^\s/\\'\"<>|,;]+(\.(?:png|jpe?g|tiff?|bmp|dcm|mat|nii(?:\.gz)?))(?!\w)")
PUBLIC = ("/usr/", "/opt/", "/proc/", "/sys/", "/dev/", "/etc/")


def public(text: str, also: Iterable[str | Path] = ()) -> str:
    """`text` without what tells who or where: folders, the user's and the machine's name, patient ids.

    also: folders of the reader (a data root), whose paths may hold spaces.
    Of a path outside of the home folder only the last part stays; of system folders all of it.
    """
    for folder in sorted(map(str, also), key=len, reverse=True):
        if len(folder) > 1:
            text = text.replace(folder, f"…/{Path(folder).name}")
    home = str(Path.home())
    if len(home) > 1:
        text = re.sub(re.escape(home) + r"(?=[/\\\s'\".,;:)]|$)", "~", text)
    for pattern in (QUOTED, POSIX, WINDOWS):
        text = pattern.sub(_last_part, text)
    text = IMAGE.sub(r"(image)\1", text)
    text = PATIENT.sub(r"\1\2(id)", text)
    for name in _names():
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "(name)", text)
    return text


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
