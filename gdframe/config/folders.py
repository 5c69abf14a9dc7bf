"""Makes a new folder for each run and sweep, also for two that start in the same second."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from omegaconf import OmegaConf

from gdframe.config.command import resume_command
from gdframe.errors import FailedError, UserError, require_utf8
from gdframe.runs.enclosing_sweeps import locked_sweeps
from gdframe.runs.files import REMEDIES
from gdframe.runs.folder import Folder
from gdframe.runs.lock import identity, is_locked
from gdframe.runs.run_folder import CHECKPOINTS, CONFIG, HYDRA, RESULT, RunFolder
from gdframe.runs.sweep_folder import HYDRA_CONFIG, SweepFolder, why_no_run_folder

ATTEMPTS = 10
"""Attempts to make and lock a folder that other processes remove."""

_claimed: dict[str, str] = {}

_made: dict[Path, tuple[int, int] | None] = {}
"""Device and inode of each folder that did not exist before, by its absolute path."""

_present: dict[tuple[int, int] | None, set[str]] = {}
"""Names of the entries that each held folder had before the launch, by its device and inode."""


def new_sweep() -> Path:
    """Make a folder for a sweep that names none; ``discard`` removes it if nothing is trained."""
    return Path(_claim_once("outputs/sweeps"))


def _claim_once(root: str) -> str:
    if root not in _claimed:
        _claimed[root] = str(claim(Path(root)))
    return _claimed[root]


def register_resolver() -> None:
    """Make ``${gdframe_folder:ROOT}`` resolve to one new folder ROOT/DATE/TIME for each launch.

    ``${gdframe_sweep:FOLDER}`` resolves to FOLDER, or to a new folder in ``outputs/sweeps``.
    """
    _claimed.clear()

    def sweep(folder: str | None) -> str:
        return folder or _claim_once("outputs/sweeps")

    OmegaConf.register_new_resolver("gdframe_folder", _claim_once, replace=True)
    OmegaConf.register_new_resolver("gdframe_sweep", sweep, replace=True)


def claimed() -> list[Path]:
    """Return the folders made since the resolver was registered."""
    return [Path(folder) for folder in _claimed.values()]


def claim(root: Path) -> Path:
    """Make and return ROOT/DATE/TIME, with ``-1``, ``-2``, ... appended if it exists.

    Raises:
        UserError: the folder cannot be made.
    """
    now = datetime.now()
    day = root / now.strftime("%Y-%m-%d")
    attempt = 0
    while True:
        folder = day / (now.strftime("%H-%M-%S") + (f"-{attempt}" if attempt else ""))
        try:
            _make(folder, exist_ok=False)
        except FileExistsError:
            if not day.is_dir():
                raise UserError(f"cannot write to {day}: it is not a folder") from None
            attempt += 1
        except OSError as error:
            raise UserError(
                f"cannot write to {folder}: {error.strerror}; "
                "start elsewhere, or choose a folder with hydra.run.dir=FOLDER"
            ) from error
        else:
            return folder


def _make(folder: Path, *, exist_ok: bool) -> None:
    """Make a folder and those that it is in; remember which are new."""
    new = [path.absolute() for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=exist_ok)
    _made.update((path, identity(path)) for path in new)


def _remove_made(folder: Path) -> None:
    """Remove a folder, and those that it is in, as long as they are new and empty."""
    for path in (folder, *folder.parents):
        if (made := _made.get(path.absolute())) is None or made != identity(path):
            return
        try:
            path.rmdir()
        except OSError:
            return


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Lock a folder before anything is written in it.

    A run folder in a sweep locks the sweep as well. A thread may lock the same folder twice.

    Raises:
        UserError: the folder cannot be made, or another process trains in it.
    """
    require_utf8(str(folder))
    with ExitStack() as stack:
        for attempt in range(ATTEMPTS):
            try:
                _make(folder, exist_ok=True)
                stack.enter_context(Folder(folder).lock())
            except OSError as error:
                # another process may have removed the folder that it did not use
                if isinstance(error, FileNotFoundError) and attempt < ATTEMPTS - 1:
                    continue
                raise UserError(
                    f"cannot write to {folder}: {error.strerror}; choose another folder"
                ) from error
            break
        key = identity(folder)
        if key not in _present:
            _present[key] = {path.name for path in folder.iterdir()}
            stack.callback(_present.pop, key)
        try:
            _refuse_place(folder)
            stack.enter_context(locked_sweeps(folder, shared=False))
            yield
        except UserError:
            _remove_made(folder)
            raise


def _refuse_place(folder: Path) -> None:
    """Refuse a folder inside a run or a sweep that keeps its own files there.

    Raises:
        UserError: names the run or the sweep.
    """
    inner = folder.absolute()
    for outer in inner.parents:
        name = str(inner.relative_to(outer))
        is_own = RunFolder(outer).is_run() and Path(name).parts[0] in (HYDRA, CHECKPOINTS)
        reason = "a run keeps its own files there" if is_own else None
        if reason is None and SweepFolder(outer).is_listed():
            reason = why_no_run_folder(name)
        if reason is not None:
            raise UserError(f"{folder}: lies in {outer}, and {reason}; choose another folder")


def refuse_occupied(folder: Path, *, reuse: bool = False) -> None:
    """Refuse a folder with files that a new run or sweep would write or remove.

    Args:
        folder: of the run or the sweep.
        reuse: whether a sweep may be here, to which runs are added.

    Raises:
        UserError: the folder holds such files.
    """
    sweep = SweepFolder(folder)
    if reuse:
        refuse_run(folder)
        if sweep.has_jobs():
            return
        if sweep.is_sweep():
            configs = {run.path / CONFIG for run in sweep.runs()}
            if others := [path for path in sweep.occupants() if path not in configs]:
                raise UserError(
                    f"{others[0]}: is not of a sweep, and a sweep here would replace it: choose "
                    "another folder"
                )
            return
    if occupants := [*RunFolder(folder).occupants(), *sweep.occupants()]:
        raise UserError(
            f"{folder} already holds a run or a sweep, or one of their files, "
            f"{occupants[0].relative_to(folder)}: choose another folder, resume it with "
            f"{resume_command(folder)}, or add runs to a sweep with sweep.reuse=true"
        )


def refuse_taken(folders: Iterable[Path]) -> None:
    """Refuse folders for new runs of a sweep in which there is a run or a file of its names.

    Raises:
        UserError: there is one, or another process trains there.
    """
    for folder in folders:
        if not folder.exists():
            continue
        run = RunFolder(folder)
        if is_locked(folder):
            raise UserError(f"{folder}: another process or thread trains here; wait until it ends")
        if occupants := run.occupants():
            raise UserError(
                f"{occupants[0]}: is not of this sweep, and a run of the sweep would overwrite it; "
                "choose another sweep folder"
            )


def refuse_run(folder: Path) -> None:
    """Refuse the folder of a single run as a folder to which runs are added.

    Raises:
        UserError: the folder holds a single run.
    """
    if RunFolder(folder).is_run() or RunFolder(folder).has(RESULT):
        raise UserError(
            f"{folder} holds a single run, not a sweep: choose a sweep folder or a new folder"
        )


def unwritable(error: OSError, folder: Path) -> UserError:
    """Return the error for a folder that cannot be written to; it tells how to resume."""
    if error.errno == errno.ESTALE:
        return FailedError(f"cannot write to {folder}: {error.strerror}; nothing more was written")
    remedy = REMEDIES.get(error.errno or 0, "make it writable")
    has_output = _has_training_output(folder)
    go_on = f"resume with {resume_command(folder)}" if has_output else "start it again"
    kind = FailedError if has_output else UserError
    return kind(f"cannot write to {folder}: {error.strerror or error}; {remedy}, then {go_on}")


def _has_training_output(folder: Path) -> bool:
    """Return whether a run was trained in a folder."""
    return RunFolder(folder).has_training_output() or SweepFolder(folder).has_runs()


def discard(folder: Path) -> None:
    """Remove the files of a launch that trained nothing, and no other file.

    A folder in which a run was trained stays unchanged, and so does one that is not held.
    The folder is removed if it is new and then empty, and so are those that it is in.
    """
    if _has_training_output(folder):
        return
    present = _present.get(identity(folder))
    if present is None:  # it is not held: maybe another process uses it
        _remove_made(folder)
        return
    for handler in list(logging.getLogger().handlers):
        if isinstance(handler, logging.FileHandler):
            path = Path(handler.baseFilename)
            if path.parent == folder.resolve():
                handler.close()
                logging.getLogger().removeHandler(handler)
                if path.name not in present:
                    path.unlink(missing_ok=True)
    if HYDRA not in present:
        RunFolder(folder).remove_config_files()
    if HYDRA_CONFIG not in present:
        SweepFolder(folder).remove_hydra_config()
    _remove_made(folder)
