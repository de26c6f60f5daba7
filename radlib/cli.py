"""The ``radlib`` command: thin over papermill and the package."""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from radlib import __version__
from radlib.errors import RadlibError


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when done, 2 after one sentence on what is wrong, 130 when interrupted."""
    given = _parser().parse_args(arguments)
    try:
        return int(given.command(given))
    except RadlibError as error:
        print(f"radlib: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "radlib: interrupted; finished features are kept and the same command goes on from there.", file=sys.stderr
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="radlib", description="Re-run the tables of the paper's companion.")
    parser.add_argument("--version", action="version", version=f"radlib {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="execute one notebook by papermill, e.g. radlib run table04")
    run.add_argument("notebook", help="table04")
    run.add_argument("--data-root", type=Path, help="folder of your data; without it the stand-ins are used")
    run.add_argument("--output", type=Path, help="executed notebook (default _build/notebooks/NAME.ipynb)")
    run.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="as papermill's: a value in YAML, e.g. -p backbones \"['dinov2_vitl14']\"",
    )
    run.set_defaults(command=_run)

    standin = commands.add_parser("standin", help="write a simulated cohort in a dataset's own layout")
    standin.add_argument("dataset", help="brain_tumor")
    standin.add_argument("out", type=Path, help="folder to make")
    standin.add_argument("--patients", type=int)
    standin.add_argument("--seed", type=int, default=0)
    standin.set_defaults(command=_standin)
    return parser


def _run(given: argparse.Namespace) -> int:
    from radlib.report import page  # papermill is slow to import and other commands do without it

    parameters: dict[str, Any] = {}
    for name, value in given.parameter:
        try:
            parameters[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise RadlibError(
                f"Parameter '{name}' is no YAML value: {value}; quote text, e.g. \"['a', 'b']\"."
            ) from error
    if given.data_root is not None:
        parameters["data_root"] = str(given.data_root.expanduser().resolve())
    print(f"page: {page.run(given.notebook, parameters, given.output)}")
    return 0


def _standin(given: argparse.Namespace) -> int:
    from radlib.data import standins

    print(f"cohort: {standins.write(given.dataset, given.out, given.patients, given.seed)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
