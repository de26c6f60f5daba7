"""The weights this machine has used, by name: so that none change behind the back of what was computed with them."""

import contextlib
import hashlib
from pathlib import Path

from radlib import assets, atomic
from radlib.errors import RadlibError


def check(backbone: str, sha256: str) -> None:
    """Compare with what this machine loaded under the same name before; the first time it is only noted.

    Cached features and Results name their weights by this hash: were they to change unnoticed, rows of one table would
    be of two networks.
    """
    record = assets.cache_dir() / "weights" / f"{backbone.replace(':', '_')}.sha256"
    try:
        known = _noted(record.read_text(encoding="ascii"))
    except OSError:
        known = None
    except ValueError:
        print(f"The note of which weights '{backbone}' had was damaged and is made again.")
        known = None
    if known is None:
        with contextlib.suppress(OSError):  # a cache that cannot be written is told where it is needed
            record.parent.mkdir(parents=True, exist_ok=True)
            atomic.replace(record, f"{sha256} {_sum(sha256)}\n".encode())
        return
    if known != sha256:
        raise RadlibError(
            f"The weights of '{backbone}' are not those used before (sha256 {sha256[:12]}…, before {known[:12]}…): "
            f"their file was changed or damaged; fetch them again, or delete {record} to go on with the new ones."
        )


def sound(record: Path) -> bool:
    """Whether the note at `record` is as it was written; raises OSError."""
    try:
        return bool(_noted(record.read_text(encoding="ascii")))
    except ValueError:
        return False


def _noted(text: str) -> str:
    """The hash in a note; ValueError where it is not as it was written. One of radlib 0.1 has no sum."""
    known, *check = text.split()
    if len(known) != 64 or len(check) > 1 or (check and check[0] != _sum(known)):
        raise ValueError(text)
    return known


def _sum(sha256: str) -> str:
    """Eight digits over the hash itself: a flipped bit in a note would blame the weights."""
    return hashlib.sha256(sha256.encode()).hexdigest()[:8]
