"""``python -m gdframe report``: a run or a sweep as one HTML page that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from gdframe.cli.report.page import render
from gdframe.cli.report.run_page import describe_run
from gdframe.cli.report.sweep_page import describe_sweep
from gdframe.errors import UserError
from gdframe.runs.files import require_folder, write_atomically
from gdframe.runs.run_folder import CONFIG, REPORT, RunFolder
from gdframe.runs.sweep_folder import SweepFolder


def report(folder: str | Path, *, output: str | Path | None = None, landscape: bool = True) -> Path:
    """Write a page about a run or a sweep; return its path.

    The page holds its style, its figures and its data, asks for nothing from a network, and opens
    from disk.

    Args:
        folder: of a run or of a sweep, ended or still training.
        output: the page; by default ``report.html`` in that folder.
        landscape: whether to draw the objective around the path of a run that trains quickly: it
            is trained again for that.

    Raises:
        UserError: nothing that gdframe trained is there.
        OSError: the page cannot be written.
    """
    folder = Path(folder)
    require_folder(folder, "the folder of a run or of a sweep")
    target = folder / REPORT if output is None else Path(output)
    if target.is_dir():
        raise UserError(f"--output {target}: it is a folder; name a file in it")
    if SweepFolder(folder).is_sweep():
        page = describe_sweep(folder)
    elif RunFolder(folder).is_run():
        page = describe_run(folder, landscape=landscape)
    else:
        raise UserError(
            f"{folder} is not the folder of a run or a sweep: it holds neither {CONFIG} nor runs; "
            "expected outputs/DATE/TIME or outputs/sweeps/DATE/TIME"
        )
    write_atomically(target, render(page))
    return target
