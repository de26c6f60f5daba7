"""The ``radlib`` command: thin over papermill and the package."""

import argparse
import contextlib
import errno
import io
import os
import re
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from radlib import __version__
from radlib.errors import NO_MEMORY, RadlibError, plain

STOPS = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
STOPPED = "radlib: interrupted; any finished features and epochs are kept, and the same command goes on from there."


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when done, 2 after one sentence on what is wrong, 130 when interrupted.

    Without `arguments` it is the process's own command: SIGTERM then acts as Ctrl-C does, and an interrupted process
    ends here.
    """
    _escape_what_cannot_be_shown()
    if arguments is not None:
        return _run_command(arguments)
    if sys.getfilesystemencoding() != "utf-8":
        _start_again_with_utf8()
    for number in STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _interrupt)
    code = _run_command(sys.argv[1:])
    if code == INTERRUPTED:
        _leave()
    return code


def _run_command(arguments: list[str]) -> int:
    given = _parser().parse_args(arguments)
    try:
        code = int(given.command(given))
        sys.stdout.flush()
        return code
    except RadlibError as error:
        print(f"radlib: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and NO_MEMORY not in str(error):
            raise
        print(
            "radlib: memory is full; end other programs, or ask for smaller images: finished features and epochs are "
            "kept and the same command goes on from there.",
            file=sys.stderr,
        )
        return 2
    except BrokenPipeError:  # the reader of our output has seen enough, as in `radlib data check … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"radlib: {plain(_of_the_system(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if signal.getsignal(signal.SIGINT) is _leave_at_once:
            for each in STOPS:
                signal.signal(each, signal.SIG_IGN)  # or a second one would say it twice
        print(STOPPED, file=sys.stderr)
        return INTERRUPTED


def _escape_what_cannot_be_shown() -> None:
    """Write characters that the terminal's encoding lacks as their code points."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _start_again_with_utf8() -> NoReturn:
    """Begin the command anew with file names and files in UTF-8, whatever the locale; kernels inherit that.

    What is printed keeps the locale's encoding.
    """
    shown = f"{sys.stdout.encoding}:backslashreplace"
    environment = {"PYTHONIOENCODING": shown, **os.environ, "PYTHONUTF8": "1"}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Stop the command where it is; a second signal, while files are put in order, ends the process."""
    for each in STOPS:
        signal.signal(each, _leave_at_once)
    raise KeyboardInterrupt


def _leave_at_once(number: int, frame: FrameType | None) -> NoReturn:
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: the signal came within a write
        print(STOPPED, file=sys.stderr)
    _leave()


def _leave() -> NoReturn:
    """End the process without waiting for threads that still read files, or for what libraries do at exit."""
    with contextlib.suppress(OSError, RuntimeError):
        sys.stdout.flush()
    os._exit(INTERRUPTED)


def _of_the_system(error: OSError) -> str:
    """What no reader of a file had a better sentence for."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.filename or 'What is written'} finds no room on its disk; make room and run the same again."
    if error.filename is None:
        return f"{error.strerror or error}; mend that and run the same command again."
    return f"{error.filename} cannot be used ({error.strerror}); mend its name or permissions, or name another."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="radlib", description="Re-run the tables of the paper's companion.")
    parser.add_argument("--version", action="version", version=f"radlib {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="execute one notebook by papermill, e.g. radlib run table04")
    run.add_argument("notebook", help="table04, figure2, claims … (make help lists them)")
    run.add_argument("--data-root", type=Path, help="folder of your data; without it the stand-ins are used")
    run.add_argument("--output", type=Path, help="executed notebook (default: its own path below _build)")
    run.add_argument("--show-failure", action="store_true", help="where a cell fails, write a page that says so")
    _add_parameters(run)
    run.set_defaults(command=_run)

    features = commands.add_parser("features", help="compute frozen features ahead of the pages that read them")
    features.add_argument("dataset", help="montgomery, brain_tumor …, or manifest for a folder of your own")
    features.add_argument("--backbone", required=True, help="a row of Table 2, or timm:NAME")
    features.add_argument("--image-size", type=int, default=224, help="px, side of the square (default 224)")
    features.add_argument("--patch-blocks", type=int, default=0, help="patch tokens of so many last blocks, for masks")
    features.add_argument("--shards", default="1/1", metavar="K/N", help="only the K-th of N equal runs of shards")
    features.add_argument("--samples", type=int, default=0, help="at most so many images, as Table 10 takes them")
    features.add_argument("--data-root", type=Path, help="folder of your data; without it the stand-in is used")
    features.add_argument("--protocol", default="ours", help="ours, or authors: images prepared as the authors' code")
    features.add_argument("--seed", type=int, default=0, help="of the random-weights row")
    features.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:0 …")
    features.set_defaults(command=_features)

    segment = commands.add_parser("segment", help="fit one segmenter to a dataset with masks, and save what it draws")
    segment.add_argument("dataset", help="montgomery, shenzhen, amos, msd_heart, or manifest for a folder of your own")
    segment.add_argument("--root", type=Path, required=True, help="folder of the copy")
    segment.add_argument(
        "--segmenter", default="unet_decoder", help="linear or unet_decoder on a frozen backbone; unet or transunet"
    )
    segment.add_argument("--save-masks", type=Path, metavar="DIR", help="folder for the masks of the test images")
    _add_parameters(segment)
    segment.set_defaults(command=_segment)

    data = commands.add_parser("data", help="check, fetch, split or simulate a dataset")
    verbs = data.add_subparsers(required=True, metavar="VERB")

    check = verbs.add_parser("check", help="look for what is wrong with a copy of a dataset; 1 if there is an error")
    check.add_argument("dataset")
    check.add_argument("--root", type=Path, required=True, help="folder of the copy")
    check.add_argument("--deep", action="store_true", help="decode every image and mask too")
    check.add_argument("--json", action="store_true", help="the report as JSON, on standard output alone")
    check.add_argument("--split-file", default="", help="CSV of patient and split to use instead of the dataset's own")
    check.set_defaults(command=_check)

    fetch = verbs.add_parser("fetch", help="download a release where no account is needed, or say where to get it")
    fetch.add_argument("dataset")
    fetch.add_argument("--out", type=Path, help="folder to unpack into (default data/DATASET)")
    fetch.set_defaults(command=_fetch)

    split = verbs.add_parser("split", help="write a dataset's split as a CSV of patient and split")
    split.add_argument("dataset")
    split.add_argument("--root", type=Path, required=True, help="folder of the copy")
    split.add_argument("--out", type=Path, required=True, help="CSV to write")
    split.set_defaults(command=_split)

    standin = verbs.add_parser("standin", help="write a simulated cohort in a dataset's own layout")
    standin.add_argument("dataset")
    standin.add_argument("--out", type=Path, required=True, help="folder to make")
    standin.add_argument("--patients", type=int)
    standin.add_argument("--seed", type=int, default=0)
    standin.set_defaults(command=_standin)

    doctor = commands.add_parser("doctor", help="what this machine has and lacks; 1 if something must be mended")
    doctor.add_argument("--offline", action="store_true", help="ask the network for nothing")
    doctor.set_defaults(command=_doctor)

    cache = commands.add_parser("cache", help="what lies in the cache, whether it is sound, and how to clear it")
    verbs = cache.add_subparsers(required=True, metavar="VERB")
    listed = verbs.add_parser("list", help="what lies there, and how large it is")
    listed.set_defaults(command=_cache_list)
    cleared = verbs.add_parser("clear", help="delete one part of the cache, or all of it; all can be made again")
    cleared.add_argument("kind", help="a name that radlib cache list shows, or all")
    cleared.set_defaults(command=_cache_clear)
    verified = verbs.add_parser("verify", help="compare every file with its checksum; 1 if one is damaged")
    verified.add_argument("kind", nargs="?", default="all", help="a name that radlib cache list shows, or all")
    verified.add_argument("--delete", action="store_true", help="delete what is damaged")
    verified.set_defaults(command=_cache_verify)
    return parser


def _whole(folder: Path) -> Path:
    """The absolute path; of ``~nobody``, who has no home, a folder of that name, which Path's own would not tell."""
    return Path(os.path.expanduser(folder)).resolve()


def _add_parameters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="as papermill's: a value in YAML, e.g. -p backbones \"['dinov2_vitl14']\"",
    )


def _parameters(given: argparse.Namespace) -> dict[str, Any]:
    from radlib.report.parameters import yaml_value  # pydantic is slow to import

    parameters: dict[str, Any] = {}
    for name, value in given.parameter:
        try:
            parameters[name] = yaml_value(value)
        except ValueError as error:
            raise RadlibError(
                f"Parameter '{name}' is no YAML value: {value} ({error}); quote text, e.g. \"['a', 'b']\"."
            ) from error
    return parameters


def _run(given: argparse.Namespace) -> int:
    from radlib.report import journal, page  # papermill is slow to import and other commands do without it

    parameters = _parameters(given)
    if given.data_root is not None:
        parameters["data_root"] = str(_whole(given.data_root))
    with journal.written() as paths:
        made = page.run(given.notebook, parameters, given.output, given.show_failure)
    if paths:
        from radlib.report import run_summary  # torch is slow to import

        print(run_summary.in_words(paths))
    print(f"page: {made}")
    return 0


def _features(given: argparse.Namespace) -> int:
    from radlib.evaluate.frozen_shards import Part
    from radlib.report import features_job  # torch is slow to import and other commands do without it

    shards = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", given.shards)
    if shards is None:
        raise RadlibError(f"--shards is '{given.shards}'; write it as K/N, e.g. 1/4 for the first of four parts.")
    options = {name: getattr(given, name) for name in features_job.FeaturesJob.model_fields}
    options["data_root"] = str(_whole(given.data_root)) if given.data_root is not None else ""
    print(features_job.compute(options, Part(int(shards[1]), int(shards[2]))))
    return 0


def _segment(given: argparse.Namespace) -> int:
    from radlib.report import mask_files  # torch is slow to import and other commands do without it

    found, written = mask_files.segment(
        given.dataset, _whole(given.root), given.segmenter, _parameters(given), given.save_masks
    )
    print(mask_files.in_words(found, written))
    return 0


def _check(given: argparse.Namespace) -> int:
    from radlib.data import check

    report = check.check(given.dataset, given.root, given.deep, given.split_file, progress=not given.json)
    print(report.as_json() if given.json else report.as_text())
    return report.exit_code


def _fetch(given: argparse.Namespace) -> int:
    from radlib.data import fetch

    return 0 if fetch.fetch(given.dataset, given.out or Path("data") / given.dataset) else 1


def _split(given: argparse.Namespace) -> int:
    from radlib.data import catalog, splits

    dataset = catalog.open_dataset(given.dataset, given.root)
    samples = dataset.samples
    splits.save(samples, given.out)
    for sentence in dataset.warnings:
        print(plain(f"Warning: {sentence}"), file=sys.stderr)
    print(f"split: {given.out}, sha256 of the images' split {splits.digest(samples)[:12]}…")
    return 0


def _standin(given: argparse.Namespace) -> int:
    import standins

    print(f"cohort: {standins.write(given.dataset, given.out, given.patients, given.seed)}")
    return 0


def _doctor(given: argparse.Namespace) -> int:
    from radlib import doctor

    lines = doctor.look(network=not given.offline)
    print(doctor.in_words(lines))
    return int(any(line.level == "fault" for line in lines))


def _cache_list(given: argparse.Namespace) -> int:
    from radlib import cache

    print(cache.in_words(cache.shelves()))
    return 0


def _cache_clear(given: argparse.Namespace) -> int:
    from radlib import cache

    print(f"{cache.clear(given.kind) / 1e6:,.1f} MB are free again.")
    return 0


def _cache_verify(given: argparse.Namespace) -> int:
    from radlib import cache

    damaged = 0
    for found in cache.verify(given.kind, given.delete):
        damaged += 0 if found.deleted else len(found.damaged)
        print(cache.verdict_in_words(found))
    return int(damaged > 0)


if __name__ == "__main__":
    sys.exit(main())
