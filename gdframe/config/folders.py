"""A folder of its own for every run, also for two that start in the same second."""

from __future__ import annotations

import logging
import shutil
from datetime import datetime
from pathlib import Path

from omegaconf import OmegaConf

from gdframe.errors import FailedError, UserError
from gdframe.runs.files import DISK_FULL
from gdframe.runs.run_folder import HYDRA, RunFolder
from gdframe.runs.sweep_folder import HYDRA_CONFIG, SweepFolder

_claimed: dict[str, str] = {}


def new_sweep() -> Path:
    """Make a folder for a sweep of which none is named, to be removed if nothing is trained."""
    return Path(_claim_once("outputs/sweeps"))


def _claim_once(root: str) -> str:
    if root not in _claimed:
        _claimed[root] = str(claim(Path(root)))
    return _claimed[root]


def register_resolver() -> None:
    """Make ``${gdframe_folder:ROOT}`` a new folder ROOT/DATE/TIME, the same for all of a launch.

    ``${gdframe_sweep:FOLDER}`` is that folder, or a new one below ``outputs/sweeps``.
    """
    _claimed.clear()

    def sweep(named: str | None) -> str:
        return named or _claim_once("outputs/sweeps")

    OmegaConf.register_new_resolver("gdframe_folder", _claim_once, replace=True)
    OmegaConf.register_new_resolver("gdframe_sweep", sweep, replace=True)


def claimed() -> list[Path]:
    """Return the folders made since the resolver was registered."""
    return [Path(folder) for folder in _claimed.values()]


def claim(root: Path) -> Path:
    """Make and return ROOT/DATE/TIME, with ``-1``, ``-2``, ... appended where that is taken.

    Raises:
        UserError: the folder cannot be made.
    """
    now = datetime.now()
    day = root / now.strftime("%Y-%m-%d")
    attempt = 0
    while True:
        folder = day / (now.strftime("%H-%M-%S") + (f"-{attempt}" if attempt else ""))
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not day.is_dir():
                raise UserError(f"cannot write to {day}: it is no folder") from None
            attempt += 1
        except OSError as error:
            raise UserError(
                f"cannot write to {folder}: {error.strerror}; "
                "start elsewhere, or choose a folder with hydra.run.dir=FOLDER"
            ) from error
        else:
            return folder


def refuse_taken(folder: Path) -> None:
    """Refuse a folder that already holds a run or a sweep.

    Raises:
        UserError: it does.
    """
    if RunFolder(folder).is_taken() or SweepFolder(folder).is_taken():
        raise UserError(
            f"{folder} already holds a run or a sweep: choose another folder, go on with it by "
            f"python -m gdframe resume {folder}, or add runs to a sweep by sweep.reuse=true"
        )


def refuse_run(folder: Path) -> None:
    """Refuse a folder to which runs are to be added and which is that of a single run.

    Raises:
        UserError: it is.
    """
    if RunFolder(folder).is_taken():
        raise UserError(
            f"{folder} holds a run, not a sweep: choose the folder of a sweep, or a new one"
        )


def unwritable(error: OSError, folder: Path) -> UserError:
    """Say that a run's folder can no longer be written to, and how to go on."""
    free = "free some space" if error.errno in DISK_FULL else "make it writable"
    kind = FailedError if _is_trained(folder) else UserError
    return kind(
        f"cannot write to {folder}: {error.strerror or error}; {free}, then go on by "
        f"python -m gdframe resume {folder}"
    )


def _is_trained(folder: Path) -> bool:
    """Say whether something was trained in a folder."""
    return RunFolder(folder).is_trained() or SweepFolder(folder).has_runs()


def discard(folder: Path) -> None:
    """Remove what a launch that never trained left in ``folder``, and nothing else.

    A folder in which something was trained stays as it is.
    The folder goes if that empties it, and so do the folders of its date and its root.
    """
    if _is_trained(folder):
        return
    for handler in list(logging.getLogger().handlers):
        if isinstance(handler, logging.FileHandler):
            path = Path(handler.baseFilename)
            if path.parent == folder.resolve():
                handler.close()
                logging.getLogger().removeHandler(handler)
                path.unlink(missing_ok=True)
    shutil.rmtree(folder / HYDRA, ignore_errors=True)
    (folder / HYDRA_CONFIG).unlink(missing_ok=True)
    for path in (folder, *list(folder.parents)[:3]):
        if path.resolve() in (Path.cwd(), *Path.cwd().parents):
            return
        try:
            path.rmdir()
        except OSError:
            return
