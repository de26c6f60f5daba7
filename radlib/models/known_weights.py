"""The weights this machine has used, by name: so that none change behind the back of what was computed with them."""

import contextlib

from radlib import assets, atomic
from radlib.errors import RadlibError


def check(backbone: str, sha256: str) -> None:
    """Compare with what this machine loaded under the same name before; the first time it is only noted.

    Cached features and Results name their weights by this hash: were they to change unnoticed, rows of one table would
    be of two networks.
    """
    record = assets.cache_dir() / "weights" / f"{backbone.replace(':', '_')}.sha256"
    try:
        known = record.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        with contextlib.suppress(OSError):  # a cache that cannot be written is told where it is needed
            record.parent.mkdir(parents=True, exist_ok=True)
            atomic.replace(record, sha256.encode())
        return
    if known != sha256:
        raise RadlibError(
            f"The weights of '{backbone}' are not those used before (sha256 {sha256[:12]}…, before {known[:12]}…): "
            f"their file was changed or damaged; fetch them again, or delete {record} to go on with the new ones."
        )
