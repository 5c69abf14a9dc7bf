"""``python -m gdframe report``: a run or a sweep as one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path

from gdframe.cli.report.page import render
from gdframe.cli.report.run_page import describe_run
from gdframe.cli.report.sweep_page import describe_sweep
from gdframe.errors import UserError
from gdframe.runs.files import remove_unfinished, require_folder, write_atomically
from gdframe.runs.output_file import refuse_others, require_output
from gdframe.runs.run_folder import CONFIG, REPORT, RunFolder
from gdframe.runs.sweep_folder import SweepFolder


def report(folder: str | Path, *, output: str | Path | None = None, landscape: bool = True) -> Path:
    """Write a page about a run or a sweep and return its path.

    The page contains its style, figures and data, and loads nothing from a network.

    Args:
        folder: of a run or a sweep, ended or training.
        output: the page, which ends in ``.html``; by default ``report.html`` in the folder.
        landscape: whether to draw the objective around the path of a run. This trains the run
            again, and only if that is quick.

    Raises:
        UserError: the folder has neither a run nor a sweep, or the page has another ending.
        OSError: the page cannot be written.
    """
    folder = Path(folder)
    require_folder(folder, "a run folder or a sweep folder")
    target = folder / REPORT if output is None else Path(output)
    require_output(target, (".html",))
    if output is None:
        refuse_others([target])
    if SweepFolder(folder).is_sweep():
        page = describe_sweep(folder)
    elif RunFolder(folder).is_run():
        page = describe_run(folder, landscape=landscape)
    else:
        raise UserError(
            f"{folder}: is not a run folder or sweep folder (it has neither {CONFIG} nor runs); "
            "give one such as outputs/DATE/TIME or outputs/sweeps/DATE/TIME"
        )
    remove_unfinished(target.parent, target.name)
    # a name of a folder may be no UTF-8
    write_atomically(target, render(page).encode(errors="backslashreplace"))
    return target
