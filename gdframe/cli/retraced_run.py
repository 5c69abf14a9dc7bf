"""A run that is trained again, with the path of its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gdframe.config.build import build, check_model
from gdframe.config.command import resume_command
from gdframe.config.load_data import load_data
from gdframe.config.trusted_plugins import load_stored
from gdframe.config.validation import check
from gdframe.config.values import name_data, plain, read_config
from gdframe.diagnostics.trajectory import Trajectory, flatten, retrace
from gdframe.engines.auto import build_engine
from gdframe.errors import UserError
from gdframe.runs.run_folder import RunFolder
from gdframe.runs.sweep_folder import SweepFolder
from gdframe.training.run_spec import RunSpec

LONGEST_SECONDS = 3600.0
"""Longest training of a run that is trained again."""

EMPTY = torch.zeros(0)

AGREES = 1e-3
"""Largest relative distance between the end of a path and the end of its run."""


@dataclass(frozen=True)
class RetracedRun:
    """A run with its path.

    Args:
        folder: the run folder.
        spec: built from the config.
        result: content of ``result.json``.
        path: the path of the parameters.
        model: name and settings of the model, without its start.
    """

    folder: Path
    spec: RunSpec
    result: dict[str, Any]
    path: Trajectory
    model: dict[str, Any]

    @property
    def shapes(self) -> dict[str, torch.Size]:
        """Shapes of the parameters, by name."""
        return {name: p.shape for name, p in self.spec.model.named_parameters()}


def retrace_run(
    folder: Path, plugins: Sequence[str] = (), seconds: float = LONGEST_SECONDS
) -> RetracedRun:
    """Train a run again and return it with its path.

    Args:
        folder: of the run.
        plugins: that the user names again.
        seconds: longest training, as estimated.

    Raises:
        UserError: the folder has no run, or the run has not ended, would train for too long, or
            ends elsewhere this time.
    """
    if SweepFolder(folder).has_jobs():
        raise UserError(f"{folder}: is a sweep folder; give a run of it, such as {folder / '0'}")
    config = plain(read_config(folder))
    result = RunFolder(folder).read_result()
    if result is None:
        raise UserError(
            f"{folder}: has no result yet; wait until the run ends, or finish it by "
            f"{resume_command(folder)}"
        )
    metadata, last_parameters = RunFolder(folder).read_model()
    if not result.get("steps") or "objective" not in result:
        raise UserError(
            f"{folder}: the run made no step ({result.get('reason')}); there is no path to show"
        )
    stored = RunFolder(folder).read_plugins()
    config["plugins"] = load_stored(folder, config["plugins"], stored, plugins)
    if not torch.cuda.is_available():
        config["device"] = "cpu"  # the run may come from a machine with a GPU
    check(config)
    name_data(config)
    data = load_data(config)
    try:
        check_model(
            config["model"], features=data.features, outputs=metadata["outputs"] or 1,
            tensors=last_parameters,
        )  # fmt: skip
    except UserError as error:
        raise UserError(f"{folder}: {error}") from error
    spec = build(config, lambda _: data)
    if result["steps"] > config["epochs"] * spec.clock.steps_per_epoch:
        raise UserError(
            f"{folder}: {result['steps']:,} steps are more than the {config['epochs']:,} epochs of "
            "its config; resume the run to write its result again"
        )
    engine = build_engine(
        result.get("engine", "auto"), [spec.problem], spec.data, spec.loader,
        epochs=config["epochs"],
    )  # fmt: skip
    estimate = type(engine).estimate([spec.problem], spec.data, spec.loader)
    if (needed := estimate.step * result["steps"]) > seconds:
        raise UserError(
            f"{folder}: {result['steps']:,} steps would train again for about {needed:,.0f} s, "
            f"more than {seconds:,.0f} s; choose a shorter run"
        )
    path = retrace(engine, result["steps"])
    shapes = {name: p.shape for name, p in spec.model.named_parameters()}
    if any(shape != last_parameters.get(n, EMPTY).shape for n, shape in shapes.items()):
        raise UserError(f"{folder}: its model has other parameters than its config gives")
    end = flatten({name: last_parameters[name] for name in shapes})
    if np.abs(path.points[-1] - end).max() > AGREES * max(float(np.abs(end).max()), 1e-300):
        raise UserError(
            f"{folder}: the run ends at another point when trained again; its data or the versions "
            "of libraries have changed"
        )
    model = {key: value for key, value in config["model"].items() if key != "start"}
    return RetracedRun(folder, spec, result, path, model)
