"""The command line: verbs, or the Hydra application without a verb. It imports no torch."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from gdframe.cli.streams import patient_streams
from gdframe.cli.verb_parser import VerbParser
from gdframe.errors import (
    Exit,
    FailedError,
    UserError,
    printable,
    reason_of,
    require_utf8,
    shortened,
)
from gdframe.interrupt import raising
from gdframe.runs.enclosing_sweeps import locked_sweeps
from gdframe.runs.files import REMEDIES, NotWrittenError
from gdframe.runs.log import begin_launch, configure_log
from gdframe.runs.sweep_folder import SweepFolder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code.

    0: the run or the sweep ended. 1: a run failed. 2: the input is wrong, a file cannot be read or
    written, or memory does not suffice; one message is on standard error. 3: a single run diverged.
    130: interrupted, after saving.
    """
    begin_launch()
    argv = list(sys.argv[1:] if arguments is None else arguments)
    # an operation of a user's component may be slow under vmap; PyTorch's warning asks for an issue
    warnings.filterwarnings("ignore", message="There is a performance drop because we have not yet")
    with patient_streams():
        return _interruptible(argv)


def _interruptible(argv: list[str]) -> int:
    """Run a command line, which a signal interrupts; return its exit code."""
    with raising() as is_raised:
        try:
            return _run(argv)
        except KeyboardInterrupt:
            pass
        except Exception as error:
            if not is_raised():  # libraries turn an interrupt into any error
                return _answer(error, debug="debug=true" in [word.lower() for word in argv])
    print("interrupted", file=sys.stderr)
    return Exit.INTERRUPTED


class _Verb(NamedTuple):
    """A verb.

    Args:
        run: takes the words after the verb; returns the exit code.
        logs_to_stderr: whether it logs, and its standard output may be piped.
    """

    run: Callable[[list[str]], int]
    logs_to_stderr: bool = False


def _run(argv: list[str]) -> int:
    """Run a verb, or train; return its exit code."""
    verbs = {
        "list": _Verb(_list),
        "inspect": _Verb(_inspect, logs_to_stderr=True),
        "resume": _Verb(_resume),
        "predict": _Verb(_predict, logs_to_stderr=True),
        "lr-range": _Verb(_lr_range),
        "landscape": _Verb(_landscape, logs_to_stderr=True),
        "report": _Verb(_report, logs_to_stderr=True),
        "watch": _Verb(_watch, logs_to_stderr=True),
        "guide": _Verb(_guide),
    }
    _distrust_working_folder()
    for word in argv:
        require_utf8(word)
    if argv and not argv[0].startswith(("-", "+", "~")) and "=" not in argv[0]:
        if argv[0] not in verbs:
            from gdframe.config.hints import unknown_word

            raise unknown_word(argv, list(verbs))
        verb = verbs[argv[0]]
        if verb.logs_to_stderr:
            configure_log(sys.stderr)
        code = verb.run(argv[1:])
    else:
        code = _train(argv)
    try:
        sys.stdout.flush()
    except OSError as error:  # the run is saved
        raise FailedError(f"standard output: {error.strerror}") from error
    return code


def _answer(error: Exception, debug: bool) -> int:
    """Print an error as one message; return its exit code.

    Args:
        error: to be printed.
        debug: whether to print its traceback, too.

    Raises:
        Exception: the error, if it is a fault of gdframe or of a component.
    """
    code = Exit.FAILED if isinstance(error, FailedError) else Exit.WRONG_INPUT
    if isinstance(error, UserError):
        message = str(error)
    elif isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        remedy = REMEDIES.get(error.errno or 0)
        hint = f"; {remedy}" if remedy else ""
        message = f"cannot read or write{where}: {error.strerror or error}{hint}"
    elif reason := reason_of(error) or _of_config(error):
        message = reason
    else:
        raise error
    if debug:
        traceback.print_exception(error)
    print(f"gdframe: {shortened(printable(message))}", file=sys.stderr)
    return code


def _of_config(error: Exception) -> str:
    """Return the message of an error about a config's values, such as a reference to nothing."""
    if "omegaconf" not in sys.modules:
        return ""
    from omegaconf.errors import OmegaConfBaseException

    from gdframe.config.messages import text_of

    return text_of(error) if isinstance(error, OmegaConfBaseException) else ""


NUMBA_SETTINGS = ".numba_config.yaml"


def _distrust_working_folder() -> None:
    """Keep code in the working folder from Numba, and from Python processes of libraries.

    Raises:
        UserError: there are settings of Numba, which can name code to run, or it is removed.
    """
    try:
        here = str(Path.cwd())
    except FileNotFoundError:
        raise UserError("the working folder is removed: go to another (cd FOLDER)") from None
    if Path(NUMBA_SETTINGS).exists():
        raise UserError(
            f"{NUMBA_SETTINGS}: in the working folder, it could make Numba run somebody's code; "
            "remove it, or start elsewhere; settings of yours can be variables such as NUMBA_OPT"
        )
    if not {"", here} & set(sys.path):  # no checkout, which they must find
        os.environ["PYTHONSAFEPATH"] = "1"


def _train(argv: list[str]) -> int:
    from gdframe.cli.application import run_application

    return run_application(argv)


def _list(argv: list[str]) -> int:
    parser = VerbParser("list", "show every registered component")
    parser.add_argument("kind", nargs="*", help="optimizer, loss, ...; by default all")
    kinds = parser.parse_args([word for word in argv if "=" not in word]).kind
    from gdframe.cli.list import table
    from gdframe.config.trusted_plugins import load_named

    load_named(_plugins([word for word in argv if "=" in word]))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    print(table(kinds, width))
    return Exit.OK


def _plugins(overrides: list[str]) -> list[str]:
    from gdframe.config.override_syntax import named_plugins

    for override in overrides:
        if not override.startswith("plugins="):
            raise UserError(f"list takes kinds and plugins=[...], not '{override}'")
    return named_plugins(overrides)


def _resume(argv: list[str]) -> int:
    parser = VerbParser("resume", "resume a run, or the unfinished runs of a sweep")
    parser.add_argument("run", help="run folder or sweep folder")
    parser.add_argument("overrides", nargs="*", help="such as epochs=200")
    chosen = parser.parse_args(argv)
    started = time.perf_counter()
    folder = Path(chosen.run)
    if SweepFolder(folder).has_jobs():
        return _resume_sweep(folder, chosen.overrides)
    from gdframe.cli.task import exit_code, log_result_table
    from gdframe.config.folders import unwritable
    from gdframe.config.train_run import resume_run

    configure_log()
    try:
        with locked_sweeps(folder, shared=True):
            result = resume_run(folder, chosen.overrides, started=started)
    except NotWrittenError as error:
        raise unwritable(error, folder) from error
    log_result_table(result)
    return exit_code(result)


def _resume_sweep(folder: Path, overrides: Sequence[str]) -> int:
    from gdframe.config.override_syntax import named_plugins, quoted

    if any(not override.startswith("plugins=") for override in overrides):
        words = shlex.join([f"sweep.dir={quoted(str(folder))}", "sweep.reuse=true"])
        raise UserError(
            f"{' '.join(overrides)}: a sweep resumes unchanged; to add runs, start it again with "
            f"{words}"
        )
    from gdframe.cli.application import resume_sweep

    return resume_sweep(folder, named_plugins(overrides))


def _predict(argv: list[str]) -> int:
    parser = VerbParser("predict", "predict the target of each row of a table")
    parser.add_argument("run", help="run folder")
    parser.add_argument("data", help="the file, with the columns the model was trained on")
    parser.add_argument("--output", help="a .csv or .parquet file; by default standard output")
    parser.add_argument("--strict", action="store_true", help="refuse missing and unknown values")
    parser.add_argument("--force", action="store_true", help="also with a run that diverged")
    _add_plugins(parser)
    chosen = parser.parse_args(argv)
    from gdframe.cli.predict import check_output, csv_bytes, predict, write_table

    if chosen.output:
        check_output(chosen.output, chosen.data)
    table = predict(
        chosen.run, chosen.data, plugins=chosen.plugins, strict=chosen.strict, force=chosen.force,
        output=chosen.output,
    )  # fmt: skip
    if chosen.output:
        write_table(table, chosen.output)
        print(f"{table.num_rows:,} predictions in {printable(chosen.output)}")
    elif sys.stdout.isatty():
        print(printable(csv_bytes(table).decode(), lines=True), end="")
    else:
        sys.stdout.buffer.write(csv_bytes(table))
    return Exit.OK


def _inspect(argv: list[str]) -> int:
    parser = VerbParser("inspect", "show what a table holds, and how to train on it")
    parser.add_argument("data", help="a file, a folder or a pattern of names")
    parser.add_argument("settings", nargs="*", help="such as data.separator=';' or data.skip=2")
    chosen = parser.parse_args(argv)
    from gdframe.cli.inspect import profile

    print(printable(profile(chosen.data, chosen.settings), lines=True))
    return Exit.OK


def _lr_range(argv: list[str]) -> int:
    parser = VerbParser("lr-range", "try learning rates, and suggest one")
    parser.add_argument("overrides", nargs="*", help="the run: variant=sgd, data=digits, ...")
    parser.add_argument("--low", type=float, help="smallest learning rate")
    parser.add_argument("--high", type=float, help="largest learning rate")
    parser.add_argument("--points", type=int, default=40, help="number of learning rates (40)")
    parser.add_argument("--steps", type=int, help="steps of each (the whole run)")
    parser.add_argument("--ramp", action="store_true", help="one run with a growing learning rate")
    parser.add_argument("--output", help="folder (outputs/lr-range/DATE/TIME)")
    chosen = parser.parse_args(argv)
    from gdframe.cli.lr_range import lr_range, result_text

    settings = {k: v for k, v in vars(chosen).items() if k not in ("overrides", "output")}
    print(result_text(*lr_range(*chosen.overrides, folder=chosen.output, **settings)))
    return Exit.OK


def _landscape(argv: list[str]) -> int:
    parser = VerbParser("landscape", "show the objective around the paths of runs")
    parser.add_argument("runs", nargs="+", help="run folders")
    parser.add_argument("--parameters", nargs="+", default=(), help="1 or 2, such as weight[0,3]")
    parser.add_argument("--between", action="store_true", help="the line between two runs' ends")
    parser.add_argument("--points", type=int, help="grid points in each direction (50 and more)")
    parser.add_argument("--rows", type=int, default=500, help="most rows of the data (500)")
    parser.add_argument("--animate", help="also write the descent as FILE.gif or FILE.mp4")
    parser.add_argument("--output", help="picture file or folder; by default the run folder")
    _add_plugins(parser)
    chosen = vars(parser.parse_args(argv))
    from gdframe.cli.landscape_pictures import write_pictures

    print(write_pictures(chosen.pop("runs"), **chosen))
    return Exit.OK


def _report(argv: list[str]) -> int:
    parser = VerbParser("report", "write a run or a sweep as one HTML page")
    parser.add_argument("folder", help="run folder or sweep folder, also during training")
    parser.add_argument("--output", help="file of the page (report.html in that folder)")
    parser.add_argument("--no-landscape", action="store_true", help="do not draw the landscape")
    chosen = parser.parse_args(argv)
    from gdframe.cli.report import report
    from gdframe.runs.result_table import shown_path

    path = report(chosen.folder, output=chosen.output, landscape=not chosen.no_landscape)
    print(f"report        {printable(shown_path(path))} ({path.stat().st_size / 1e6:.1f} MB)")
    return Exit.OK


def _watch(argv: list[str]) -> int:
    parser = VerbParser("watch", "show a run or a sweep in the terminal while it trains")
    parser.add_argument("folder", help="run folder or sweep folder")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two updates (1)")
    chosen = parser.parse_args(argv)
    from gdframe.cli.watch import watch

    watch(chosen.folder, every=chosen.every)
    return Exit.OK


def _guide(argv: list[str]) -> int:
    parser = VerbParser("guide", "show a page of the guide")
    parser.add_argument("topic", nargs="?", help="name of the page; by default the list of topics")
    chosen = parser.parse_args(argv)
    from rich.console import Console

    from gdframe.cli.guide import show

    show(chosen.topic, Console())
    return Exit.OK


def _add_plugins(parser: argparse.ArgumentParser) -> None:
    text = "the plugins of the run again; needed only if gdframe does not know them as yours"
    parser.add_argument("--plugins", nargs="+", default=(), metavar="FILE", help=text)
