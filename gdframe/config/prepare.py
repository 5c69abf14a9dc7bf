"""Builds a run that is ready to train from a checked config, alone or in a group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from gdframe.config.build import build, build_diagnostics
from gdframe.config.computation_digest import computation_digest
from gdframe.config.construct import construct
from gdframe.config.load_data import load_data
from gdframe.config.setting_digests import check_settings, setting_digests
from gdframe.config.value_digests import digests_of, warn_of_other_values
from gdframe.data.dataset import Dataset
from gdframe.diagnostics.diagnostics import Diagnostics
from gdframe.diagnostics.preflight import advice_on_curvature, advice_on_data, advice_on_rate
from gdframe.engines.auto import build_engine
from gdframe.engines.component_difference import first_difference
from gdframe.errors import UserError, first_line, in_words, typed_as
from gdframe.hidden_state import undisturbed
from gdframe.losses.base import Loss
from gdframe.metrics.tally import follow_from_squared_error
from gdframe.registry import LOSSES, is_built_in
from gdframe.runs.checkpoint_file import Capture
from gdframe.runs.further_result import further_result
from gdframe.runs.log import warn_once
from gdframe.runs.result import Result
from gdframe.runs.run_folder import RunFolder
from gdframe.sameness import same_values
from gdframe.training.run import Run
from gdframe.training.run_group import RunGroup
from gdframe.training.run_spec import RunSpec


@dataclass(frozen=True, eq=False)
class PreparedRun:
    """A run with its config and its folder.

    Args:
        config: plain values, checked.
        run: the run, before an engine is built for it.
        diagnostics: diagnostics of the run.
        folder: folder of the run.
    """

    config: Mapping[str, Any]
    run: Run
    diagnostics: Diagnostics
    folder: RunFolder

    @property
    def spec(self) -> RunSpec:
        """The run spec."""
        return self.run.spec

    def warnings(self) -> list[str]:
        """Return warnings about settings that are valid but hardly intended."""
        config, warnings = self.config, list[str]()
        if config["initializer"] == {"name": "zeros"} and config["model"]["name"] in ("mlp", "cnn"):
            warnings.append(
                "initializer=zeros makes units of a layer equal, and training keeps them equal; "
                "the default initializer draws random values"
            )
        if config["lr"] and self.spec.lr != config["lr"]:
            warnings.append(
                f"optimizer={config['optimizer']['name']}: its constructor multiplies lr by "
                f"{self.spec.lr / config['lr']:.4g}; the verdict, advice and curves name the rate "
                "it trains with"
            )
        return warnings

    def advice(self, *, data: bool = True, rate: bool = True) -> list[str]:
        """Return advice on the data, the learning rate and the diagnostics.

        Args:
            data: whether to give advice on the data.
            rate: whether to give advice on the learning rate.
        """
        if not self.config["preflight"]:
            return []
        curvature, is_rate_given = self.diagnostics.curvature, not self.run.lr_reason
        return [
            *(advice_on_data(self.spec.data, self.spec.objective) if data else []),
            *(advice_on_rate(self.diagnostics.stability) if rate and is_rate_given else []),
            *(advice_on_curvature(self.spec.objective) if curvature else []),
            *self._advice_on_metrics(),
        ]

    def _advice_on_metrics(self) -> list[str]:
        if self.run.engine.measures_all or self.run.reads_metrics:
            return []
        names = self.spec.named_metrics
        seldom = in_words(n for n, m in names.items() if not follow_from_squared_error({n: m}))
        return [
            f"{seldom} is measured at the start and at the end alone, to save time; "
            f"metric=[{','.join(names)}] measures it at each epoch"
        ]

    def save(self, result: Result) -> dict[str, Any]:
        """Write the model, its coefficients and the result; return the content of ``result.json``.

        What a run has reached before stays if it went further.

        Raises:
            OSError: a file cannot be written.
        """
        if (before := further_result(self.folder, result)) is not None:
            result.folder = self.folder.path
            return before
        result.computation_digest = computation_digest(self.config)
        spec = self.spec
        loss = {**(self.config["loss"] or {}), "name": result.loss}
        metadata = {
            "config": dict(self.config),
            "encoding": spec.data.encoding.to_json(),
            "task": spec.data.task,
            "outputs": spec.loss.outputs(spec.data) if spec.loss else 0,
            "loss": loss if spec.loss else None,
            **({"constructed": self.run.constructed} if self.run.constructed else {}),
        }
        _warn_of_unsaved(spec.loss, loss, spec.seed)
        _warn_of_left_out(spec.model)
        if result.coefficients is not None:
            self.folder.write_coefficients(result.coefficients)
        self.folder.write_model(spec.model, metadata)
        return result.save(self.folder.path)


def _warn_of_unsaved(loss: Loss | None, settings: Mapping[str, Any], seed: int) -> None:
    """Warn if a user's loss holds what it lacks where ``predict`` builds it from its settings."""
    if loss is None or is_built_in(loss):
        return
    with undisturbed(loss=loss):
        try:
            place = first_difference(loss, construct(LOSSES, settings, seed=seed))
        except Exception:  # a constructor may raise anything; predict will tell
            return
    if place is not None:
        warn_once(
            f"loss {settings['name']}: {place} is set in training, and predictions with the saved "
            "model do not know it; pass it as an argument, or keep it in a buffer of the model"
        )


def _warn_of_left_out(model: nn.Module) -> None:
    """Warn if a user's model leaves a parameter out of its state dict, or changes it there."""
    if is_built_in(model):
        return
    state = model.state_dict()
    for name, parameter in model.named_parameters():
        stored = state.get(name)
        if not isinstance(stored, Tensor) or not same_values(stored.to(parameter), parameter):
            warn_once(
                f"state_dict of model {type(model).__name__} does not hold {name} as it is: "
                "resumed runs and predictions with the saved model have another value there"
            )
            return


def prepare(
    config: Mapping[str, Any],
    folder: RunFolder,
    load: Callable[[Mapping[str, Any]], Dataset] = load_data,
    *,
    lr_reason: str = "",
) -> PreparedRun:
    """Build the run that a config names.

    Args:
        config: plain values, checked; ``lr`` is a number.
        folder: folder of the run.
        load: returns the data that a config names; the data must not be changed.
        lr_reason: why ``lr=auto`` chose the learning rate; else empty.

    Raises:
        UserError: components do not fit each other, or the data cannot be used.
    """
    spec, diagnostics = build(config, load), build_diagnostics(config)
    with typed_as({"max_points": "logging.max_points"}):
        run = Run(spec, diagnosis=diagnostics, max_points=config["logging"]["max_points"])
    run.lr_reason = lr_reason
    run.constructed = digests_of(spec) | setting_digests(config, spec)
    return PreparedRun(config, run, diagnostics, folder)


def make_group(
    prepared: Sequence[PreparedRun], captures: Sequence[Capture | None] = ()
) -> RunGroup:
    """Build the run group of runs of one structure, each restored from its checkpoint, if any.

    Args:
        prepared: the runs.
        captures: for each run, the checkpoint that it resumes from, or None.

    Raises:
        UserError: the engine cannot execute the runs, or a checkpoint does not fit its run.
    """
    first, runs = prepared[0], [item.run for item in prepared]
    engine = first.config["engine"]["name"]
    start = captures[0] if captures else None
    if start is not None and engine == "auto":
        engine = start.facts["engine"]  # another engine would not continue bit for bit
    for item, capture in zip(prepared, captures, strict=False):
        if capture is not None:
            check_settings(capture.facts.get("constructed", {}), item.run.constructed, item.folder)
    spec, problems = first.spec, [run.spec.problem for run in runs]
    group = RunGroup(
        runs, build_engine(engine, problems, spec.data, spec.loader, epochs=spec.epochs)
    )
    for item, capture in zip(prepared, captures, strict=False):
        if capture is None:
            continue
        before = capture.facts.get("constructed", {})
        warn_of_other_values(before, item.run.constructed, "the resumed run is another one")
        try:
            item.run.restore(capture)
        except UserError:
            raise
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            raise UserError(
                f"the checkpoint in {item.folder} does not fit the config or a plugin: "
                f"{first_line(error)}; resume with the settings and plugins that the run was "
                "trained with, or start a new run in another folder"
            ) from error
    return group
