"""Curves of a sweep in TensorBoard: those of the best runs, and means over seeds."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdframe.errors import UserError
from gdframe.observers.tensorboard import TensorBoard, layout, outcome
from gdframe.runs.event_tags import STEP_TAGS, tag_of
from gdframe.runs.lock import require_in_place
from gdframe.runs.result import Result
from gdframe.runs.run_folder import RunFolder
from gdframe.runs.sweep_folder import SweepFolder
from gdframe.sweeps.comparing.comparison import Configuration, Record
from gdframe.sweeps.comparing.sweep_metric import WORTHLESS

Arrays = dict[str, NDArray[np.float64]]

log = logging.getLogger("gdframe")

LONGEST_NAME = 120
"""Most bytes of a folder of mean curves; longer names are cut and get a digest."""


SELECTED = 40
"""Most runs that TensorBoard selects at first on its pages Scalars, Custom Scalars and Images; it
selects none of more."""


class Curves:
    """Stores the histories of runs until their sweep ends."""

    def __init__(self) -> None:
        self._histories: dict[str, Arrays] = {}

    def keep(self, result: Result) -> None:
        """Store the history of a run that ended."""
        self._histories[str(result.folder)] = result.history.to_arrays()

    def write_end(self, board: TensorBoard, result: Result) -> None:
        """Write the last values of a run and its hyperparameters, without curves.

        Raises:
            OSError: the file cannot be written.
        """
        history = self._histories[str(result.folder)]
        last = {name: values[-1:] for name, values in history.items()}
        _write(board.folder, last, board, result.to_json())

    def show(self, records: Sequence[Record], board_of: Callable[[Record], TensorBoard]) -> None:
        """Write the curves of runs whose history is stored, or is in a checkpoint.

        Args:
            records: the runs.
            board_of: returns the observer that writes the events of a run.

        Raises:
            OSError: a file cannot be written.
        """
        for record in records:
            arrays = self._history(record.folder)
            if arrays is not None and record.result is not None:
                board = board_of(record)
                _write(board.folder, arrays, board, record.result)

    def write_means(self, folder: Path, configurations: Sequence[Configuration]) -> None:
        """Write the mean curves of the best configurations with several runs that ended well.

        A mean curve is as long as the shortest of its curves. Mean curves of earlier launches are
        removed. Where the sweep has more runs than TensorBoard selects at first, configurations of
        one run have their curve here too: the folder is a dashboard of its own.

        Raises:
            OSError: a file cannot be written.
        """
        sweep = SweepFolder(folder)
        sweep.clear_means()
        runs_of_sweep = sum(len(configuration.records) for configuration in configurations)
        fewest = 2 if runs_of_sweep <= SELECTED else 1
        written = 0
        for configuration in configurations:
            if written == SELECTED - 1:  # one is for the pictures
                break
            ended = [
                record for record in configuration.records
                if record.result is not None and record.result["status"] not in WORTHLESS
            ]  # fmt: skip
            runs = [arrays for r in ended if (arrays := self._history(r.folder)) is not None]
            if len(runs) >= fewest:
                _write(sweep.mean(_name(configuration)), mean(runs))
                written += 1

    def write_overview(self, folder: Path, pictures: Mapping[str, bytes]) -> None:
        """Write the pictures of a sweep, and the layout of Custom Scalars, beside the mean curves.

        Raises:
            OSError: a file cannot be written.
        """
        columns: dict[str, None] = {}
        for history in self._histories.values():
            columns |= dict.fromkeys(name.removeprefix("epochs/") for name in history)
        if not pictures and not columns:
            return
        file = SweepFolder(folder).open_overview()
        try:
            if columns:
                file.layout(layout(columns))
            for name, png in pictures.items():
                file.image(f"sweep/{name}", png)
        finally:
            file.close()

    def _history(self, folder: str) -> Arrays | None:
        """Return a run's history, from its checkpoint if it is not stored."""
        if folder in self._histories:
            return self._histories[folder]
        try:
            capture, _ = RunFolder(folder).load_checkpoint()
        except UserError as error:
            log.warning("warning: %s", error)
            return None
        return None if capture is None else capture.history()


def _name(configuration: Configuration) -> str:
    """Return a unique folder name for a configuration."""
    name = ",".join(f"{k}={v}" for k, v in configuration.settings.items()) or "all"
    whole = name.encode(errors="replace")
    safe = whole.replace(b"/", b"_").replace(b"\0", b"_")
    if safe == whole and len(safe) <= LONGEST_NAME:
        return safe.decode()
    digest = hashlib.blake2b(whole, digest_size=4).hexdigest()
    return f"{safe[:LONGEST_NAME].decode(errors='ignore')}...{digest}"


def mean(runs: Sequence[Mapping[str, NDArray[np.float64]]]) -> Arrays:
    """Return the mean of the columns that all histories have, at the epochs and steps of all.

    Example:
        >>> a = {"epochs/epoch": np.arange(3.0), "epochs/objective": np.array([1.0, 2.0, 3.0])}
        >>> b = {"epochs/epoch": np.arange(2.0), "epochs/objective": np.array([3.0, 4.0])}
        >>> mean([a, b])["epochs/objective"]
        array([2., 3.])
    """
    common = {
        key: reduce(np.intersect1d, [run[key] for run in runs])
        for key in ("epochs/epoch", "steps/step")
        if key in runs[0]
    }
    means = {}
    for name in (name for name in runs[0] if all(name in run for run in runs)):
        key = "epochs/epoch" if name.startswith("epochs/") else "steps/step"
        columns = [run[name][np.isin(run[key], common[key])] for run in runs]
        means[name] = np.mean(columns, axis=0)
    return means


def _write(
    folder: RunFolder,
    arrays: Mapping[str, NDArray[np.float64]],
    board: TensorBoard | None = None,
    result: Mapping[str, Any] | None = None,
) -> None:
    """Write a new event file: curves, and the texts and hyperparameters of its observer."""
    require_in_place(folder.path)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.clear_events()
    file = folder.open_events()
    try:
        if board is not None:
            for title, page in board.text.items():
                file.text(title, page)
        epochs = arrays["epochs/epoch"].astype(np.int64)
        for name, values in arrays.items():
            tag = tag_of(name.removeprefix("epochs/"))
            if tag is not None and name.startswith("epochs/") and not np.isnan(values).any():
                file.curve(tag, values, epochs)
        steps = arrays["steps/step"].astype(np.int64)
        for column, tag in STEP_TAGS.items():
            file.curve(tag, arrays[f"steps/{column}"], steps)
        if board is not None and result is not None:
            file.text("verdict", f"**{result['status']}**: {result['reason']}", int(epochs[-1]))
            file.hyperparameters({**board.hyperparameters, **outcome(result)})
    finally:
        file.close()
