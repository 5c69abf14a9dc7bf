"""``lr=auto``: one number for the learning rate of a run, and a sentence that says why."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

from gdframe.data.dataset import Dataset
from gdframe.diagnostics.diagnostics import Diagnostics
from gdframe.diagnostics.learning_rate import FALLBACK
from gdframe.diagnostics.learning_rate.budget import effort
from gdframe.diagnostics.learning_rate.search import Search, default_range
from gdframe.diagnostics.learning_rate.trial_course import Trial
from gdframe.diagnostics.learning_rate.trials import Trials
from gdframe.diagnostics.stability import Stability
from gdframe.engines.base import Problem
from gdframe.engines.thread_limit import one_thread_if_small, products_of
from gdframe.errors import first_line, rounded_down
from gdframe.loaders.base import Loader
from gdframe.stopping import Stopping

log = logging.getLogger("gdframe")


@dataclass(frozen=True)
class ChosenRate:
    """A learning rate that was chosen for a run.

    Args:
        lr: the learning rate.
        reason: why, as a sentence of the verdict.
    """

    lr: float
    reason: str


def choose_rate(
    problem: Problem,
    data: Dataset,
    loader: Loader,
    *,
    epochs: int,
    stopping: Stopping | None = None,
) -> ChosenRate:
    """Return a learning rate that trains a run well within its epochs.

    It never raises: if no rate trains, the choice is ``FALLBACK``, with the cause.

    Args:
        problem: of the run, at its start; its learning rate does not matter.
        data: what it trains on.
        loader: which rows a step sees.
        epochs: of the run.
        stopping: rules that end the run before.
    """
    try:
        with one_thread_if_small(products_of([problem], data)):
            trials = Trials(problem, data, loader, epochs=epochs, stopping=stopping)
            stability = stability_at_start(problem, data, loader)
            size = effort(trials)
            search = Search(trials, size.steps, default_range(stability))
            search.run(size.points, size.finer)
    except Exception as error:  # of a user's component, which may raise anything
        return _fallback(f"the search for a better one fails: {first_line(error)}")
    trial = search.by_validation()
    if trial is None:
        low, high = search.tried[0].lr, search.tried[-1].lr
        return _fallback(
            f"no rate from {low:.3g} to {high:.3g} lowers the objective in {size.steps:,} steps"
        )
    lr, reason = trial.lr, reason_for(trial, search, stability)
    if (longer := trials.steps_of_run / size.steps) > 1 and loader.steps_per_epoch > 1:
        # the same way in more and smaller steps, with less noise at the end
        lr = float(rounded_down(lr / math.sqrt(longer)))
        reason = (
            f"the best rate tried, {trial.lr:g}, is lowered for less noise, since the run is "
            f"{longer:.2g} times longer than its trial; {reason}"
        )
    return ChosenRate(lr, f"lr=auto took {lr:g}: {reason}")


def reason_for(trial: Trial, search: Search, stability: Stability | None) -> str:
    """Return why a search chose a trial by its held-out loss, as the rest of a sentence."""
    reason = f"of {len(search.tried)} rates tried for {search.steps:,} steps, "
    reason += f"{trial.lr:g} has the lowest "
    if trial.validation_loss is None:
        reason += f"objective ({trial.objective:.4g})"
    else:
        reason += (
            f"validation loss ({trial.validation_loss:.4g}) among those whose objective fell "
            "nearly the furthest"
        )
    if math.isfinite(search.safe):
        reason += f" and that are at most half of {search.too_large:g}, where trials diverge"
    if (limit := known_limit(stability)) is not None:
        reason += f"; the stability limit is {rounded_down(limit)}"
    return reason


def known_limit(stability: Stability | None) -> float | None:
    """Return a stability limit that holds at every point and at the run's batch size, or None."""
    if stability is None or not stability.is_constant:
        return None
    return None if stability.is_sampled and stability.noise_limit is None else stability.lowest


def stability_at_start(problem: Problem, data: Dataset, loader: Loader) -> Stability | None:
    """Return the stability limits at the start of a run, or None if they cannot be measured."""
    diagnostics = Diagnostics()
    try:
        diagnostics.begin(problem, data, loader)
        stability = diagnostics.stability
    except Exception:  # of a user's component, or of its derivatives
        return None
    return stability if stability is not None and math.isfinite(stability.lowest) else None


def _fallback(cause: str) -> ChosenRate:
    reason = f"lr=auto took {FALLBACK:g}, since {cause}"
    log.warning("warning: %s", reason)
    return ChosenRate(FALLBACK, reason)
