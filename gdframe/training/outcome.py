"""The result of a run, gathered from its spec, its history and its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import nn

from gdframe.registry import LOSSES, MODELS, OPTIMIZERS
from gdframe.runs.result import Result
from gdframe.stopping import Status, Verdict
from gdframe.training.baseline import no_better_than_before
from gdframe.training.coefficients import coefficients_of
from gdframe.training.final_measurements import HeldOut, measure_held_out

if TYPE_CHECKING:
    from gdframe.training.run import Run


def make_result(run: Run, verdict: Verdict, row: Mapping[str, float]) -> Result:
    """Return the result of a run.

    Args:
        run: its module and optimizer take the values it ended with.
        verdict: how it ended.
        row: of its history, evaluated where it ended.
    """
    run.engine.copy_to_module(run.index)
    spec, model = run.spec, run.spec.model
    metrics = {
        part: {
            name: row[f"{part}/{name}"] for name in spec.named_metrics if f"{part}/{name}" in row
        }
        for part in ("train", "validation")
    }
    is_measured = verdict.status not in (Status.DIVERGED, Status.FAILED)
    held_out = measure_held_out(spec) if is_measured else HeldOut()
    if held_out.test_loss is not None:
        metrics["test"] = held_out.test_metrics
    maximize = {name: metric.maximize for name, metric in spec.named_metrics.items()}
    sentences = (no_better_than_before(held_out.baseline, metrics, maximize), run.lr_reason)
    return Result(
        status=verdict.status,
        reason="; ".join([str(verdict), *filter(None, sentences)]),
        variant=spec.loader.variant,
        engine=run.engine_name,
        engine_reason=run.engine_reason,
        device=str(spec.data.train.features.device),
        model=MODELS.name_of(model),
        loss=None if spec.loss is None else LOSSES.name_of(spec.loss),
        optimizer=OPTIMIZERS.name_of(spec.optimizer),
        lr=spec.lr,
        lr_reason=run.lr_reason,
        seed=spec.problem.seed,
        epochs=run.step // spec.clock.steps_per_epoch,
        steps=run.step,
        samples=spec.loader.samples(run.step),
        gradient_evaluations=run.executed,
        objective=row["objective"],
        train_loss=row["train_loss"],
        validation_loss=row.get("validation_loss"),
        test_loss=held_out.test_loss,
        gradient_norm=row["gradient_norm"],
        metrics=metrics,
        maximize=[name for name, is_greater_better in maximize.items() if is_greater_better],
        baseline=held_out.baseline,
        confusion=held_out.confusion,
        seconds={"setup": 0.0, "train": run.seconds},
        parameter_count=sum(p.numel() for p in model.parameters() if p.requires_grad),
        diagnostics=run.diagnosis.facts(),
        point=_point(model) if spec.loss is None else None,
        target=spec.stopping.target,
        data_digest=spec.data.digest,
        data=dict(spec.data.facts),
        history=run.history,
        module=model,
        coefficients=coefficients_of(model, spec.data),
    )


MOST_COORDINATES = 1_000_000
"""Most coordinates of a point in a result, which is text; the model file holds any."""


def _point(function: nn.Module) -> list[float] | None:
    """Return where a function's run ended; None in too many dimensions."""
    point = next(function.parameters()).detach()
    return point.tolist() if point.numel() <= MOST_COORDINATES else None


def failed_result(run: Run, error: Exception) -> Result | None:
    """Return the result of a run that raised, from what it had measured; None if it cannot."""
    if not len(run.history):
        return None
    verdict = Verdict(Status.FAILED, f"{type(error).__name__}: {error}")
    try:
        return make_result(run, verdict, run.history.last)
    except Exception:  # what broke the run breaks this too
        return None
