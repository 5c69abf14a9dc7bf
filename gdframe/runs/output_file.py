"""Checks of a file that a command writes where the user says, before anything is computed."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from gdframe.errors import UserError, bad_value
from gdframe.runs.coefficients_table import COEFFICIENTS
from gdframe.runs.files import require_place
from gdframe.runs.history_table import HISTORY
from gdframe.runs.picture_files import DARK, HEAT_MAP, LEARNING_RATES, LR_RANGE, MARK
from gdframe.runs.run_folder import MODEL, RunFolder
from gdframe.runs.sweep_folder import SUMMARY, SUMMARY_TABLE, SweepFolder

MARKS = {
    ".png": (MARK,),
    ".html": (b'<meta name="generator" content="gdframe">', b" - gdframe</title>"),
    ".json": (b'"suggestion"',),
}
"""Bytes near the beginning of files that gdframe writes, by their ending."""

MOST_HEAD = 4096
"""Bytes that are searched for them."""


def require_output(output: str | Path, endings: Sequence[str], option: str = "--output") -> None:
    """Refuse a file to write that has another ending, or that gdframe keeps in its folder.

    The endings keep a command from replacing results, models, checkpoints, configs and events.

    Args:
        output: the file that the user names.
        endings: of which it must have one, such as ``.html``; capitals count as small letters.
        option: by which the user names it.

    Raises:
        UserError: it may not be written, or its folder does not exist.
    """
    require_place(output, option)
    path = Path(output)
    if path.suffix.lower() not in endings:
        raise bad_value(f"{option} {output}", f"a file that ends in {' or '.join(endings)}")
    if _is_of_folders(path.name.lower()) and _is_ours(path.parent):
        raise UserError(
            f"{option} {output}: is a file that gdframe keeps in this folder; give another file"
        )


def refuse_others(paths: Iterable[Path]) -> None:
    """Refuse to replace files that gdframe did not write, where the user has not named them.

    Args:
        paths: of files to write; those that do not exist are fine.

    Raises:
        UserError: one is a file of others.
    """
    for path in paths:
        if is_of_others(path):
            raise UserError(
                f"{path}: was not written by gdframe and would be replaced; move it, or give "
                "another place with --output"
            )


def is_of_others(path: Path) -> bool:
    """Return whether there is a file without the mark of gdframe near its beginning.

    Links and what is no file, such as a pipe, are of others.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return True
        with path.open("rb") as file:
            head = file.read(MOST_HEAD)
    except OSError:  # there is none, or what writes it will tell
        return False
    return bool(head) and not any(mark in head for mark in MARKS[path.suffix.lower()])


def refuse_input(
    output: str | Path, files: Iterable[Path], what: str, option: str = "--output"
) -> None:
    """Refuse a file to write that is one of the files to read.

    Args:
        output: the file that the user names.
        files: that are read; they need not exist.
        what: what the files are, for the message.
        option: by which the user names it.

    Raises:
        UserError: it is one of them.
    """
    for file in files:
        with suppress(OSError):  # one of them does not exist
            if Path(output).samefile(file):
                raise UserError(f"{option} {output}: is {what}; give another file")


def _is_of_folders(name: str) -> bool:
    """Return whether a run or a sweep writes a file of this name, but for pages and landscapes."""
    first = name.removesuffix(".png").split("-")[0]
    is_picture = first in (LR_RANGE, LEARNING_RATES, HEAT_MAP) or name.endswith(DARK)
    is_table = name in (COEFFICIENTS, HISTORY, SUMMARY_TABLE)
    return is_table or (is_picture and name.endswith(".png"))


def _is_ours(folder: Path) -> bool:
    """Return whether a folder is that of a run, a sweep or a test of learning rates."""
    run, sweep = RunFolder(folder), SweepFolder(folder)
    is_run = run.is_run() or run.has(MODEL) or run.has_training_output()
    return is_run or sweep.has_jobs() or sweep.has(SUMMARY)
