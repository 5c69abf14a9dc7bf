"""Curves of a sweep in TensorBoard: every run's, the best configuration's, or the seeds' mean."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdframe.observers.tensorboard import TensorBoard
from gdframe.runs.event_tags import STEP_TAGS, tag_of
from gdframe.runs.result import Result
from gdframe.runs.run_folder import RunFolder
from gdframe.runs.sweep_folder import SweepFolder
from gdframe.sweeps.comparing.comparison import Configuration, Record

Arrays = dict[str, NDArray[np.float64]]

LONGEST_NAME = 120
"""Of a folder of mean curves, before it is cut and marked."""


class Curves:
    """Keeps what runs measured until their sweep is over.

    Attributes:
        hidden: the observers, by folder, of runs whose curves were left out.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Arrays] = {}
        self.hidden: dict[str, TensorBoard] = {}

    def keep(self, result: Result) -> None:
        """Keep the history of a run that ended."""
        self._kept[str(result.folder)] = result.history.to_arrays()

    def write_end(self, board: TensorBoard, result: Result) -> None:
        """Write where a run ended and its hyperparameters, and no curve.

        Raises:
            OSError: it cannot be written.
        """
        self.hidden[str(result.folder)] = board
        last = {name: values[-1:] for name, values in result.history.to_arrays().items()}
        _write(board.folder, last, board, result.to_json())

    def show(self, records: Sequence[Record], board_of: Callable[[Record], TensorBoard]) -> None:
        """Write the curves of runs that had left them out, as far as they are kept anywhere.

        Args:
            records: the runs.
            board_of: gives the observer of a run that was trained elsewhere, or before.

        Raises:
            OSError: one cannot be written.
        """
        for record in records:
            arrays = self._of(record.folder)
            if arrays is not None and record.result is not None:
                board = self.hidden.get(record.folder) or board_of(record)
                _write(board.folder, arrays, board, record.result)

    def write_means(self, folder: Path, found: Sequence[Configuration]) -> None:
        """Write a TensorBoard run for each configuration of several seeds: the mean of its runs.

        A curve goes as far as the shortest of its runs; those that diverged are left out. Curves
        of an earlier launch into the same folder go.

        Raises:
            OSError: one cannot be written.
        """
        sweep = SweepFolder(folder)
        sweep.clear_means()
        for configuration in found:
            ended = [r for r in configuration.records if (r.result or {}).get("status") in ENDED]
            runs = [arrays for r in ended if (arrays := self._of(r.folder)) is not None]
            if len(runs) > 1:
                _write(sweep.mean(_name(configuration)).path, mean(runs))

    def _of(self, folder: str) -> Arrays | None:
        """Return a run's history, from its checkpoint if it was trained before."""
        if folder in self._kept:
            return self._kept[folder]
        capture, _ = RunFolder(folder).load_checkpoint()
        return None if capture is None else capture.history()


ENDED = ("converged", "max_epochs", "target_reached", "time_limit")
"""Statuses of runs whose curves are averaged."""


def _name(configuration: Configuration) -> str:
    """Return a folder's name that tells a configuration from the others."""
    name = ",".join(f"{k}={v}" for k, v in configuration.settings.items()) or "all"
    safe = name.replace("/", "_")
    if safe == name and len(name) <= LONGEST_NAME:
        return name
    mark = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{safe[:LONGEST_NAME]}...{mark}"


def mean(runs: Sequence[Mapping[str, NDArray[np.float64]]]) -> Arrays:
    """Return the mean of histories, as far as the shortest goes.

    Example:
        >>> one, other = ({"epochs/objective": np.array(v)} for v in ([1.0, 2.0, 3.0], [3.0, 4.0]))
        >>> mean([one, other])["epochs/objective"]
        array([2., 3.])
    """
    found = {}
    for name in runs[0]:
        columns = [run[name] for run in runs if name in run]
        length = min(map(len, columns))
        found[name] = np.mean([column[:length] for column in columns], axis=0)
    return found


def _write(
    folder: Path,
    arrays: Mapping[str, NDArray[np.float64]],
    board: TensorBoard | None = None,
    result: Mapping[str, Any] | None = None,
) -> None:
    """Write a TensorBoard run anew: curves, and what its observer knows of it."""
    folder.mkdir(parents=True, exist_ok=True)
    run = RunFolder(folder)
    run.clear_events()
    file = run.open_events()
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
            file.hyperparameters({**board.hyperparameters, "status": str(result["status"])})
    finally:
        file.close()
