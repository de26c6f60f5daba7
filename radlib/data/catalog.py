"""The datasets a notebook may name, and where their folders are looked for."""

from pathlib import Path

from radlib.data import brain_tumor, manifest
from radlib.data.dataset import Dataset
from radlib.errors import RadlibError, unknown_name

NAMES = ("brain_tumor", "manifest")


def check_name(name: str) -> None:
    """Raise RadlibError, naming the nearest one, if there is no dataset `name`."""
    if name not in NAMES:
        raise unknown_name("dataset", name, NAMES)


def open_dataset(name: str, data_root: Path | str, protocol: str = "ours") -> Dataset:
    """Dataset `name` below `data_root`: in the folder of that name if there is one, else in `data_root` itself.

    `protocol` is ``ours`` or ``authors``; it changes only how images are prepared (see each dataset's reader).
    """
    check_name(name)
    if protocol not in ("ours", "authors"):
        raise unknown_name("protocol", protocol, ("ours", "authors"))
    root = Path(data_root).expanduser()
    if not root.is_dir():
        raise RadlibError(f"The folder {root} does not exist; data_root is the folder that holds your data.")
    if (root / name).is_dir():
        root = root / name
    if not any(root.iterdir()):
        raise RadlibError(f"The folder {root} is empty; put the files of '{name}' there.")
    if name == "manifest":
        return manifest.open_folder(root)
    return brain_tumor.open_folder(root, protocol=protocol)
