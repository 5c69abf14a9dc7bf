"""Trials: runs that differ only in their learning rate, trained as one run group."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from gdframe.data.dataset import Dataset
from gdframe.diagnostics.learning_rate.trial_course import RunningTrial, Trial
from gdframe.diagnostics.nearness import is_near
from gdframe.engines.auto import build_engine
from gdframe.engines.base import CannotExecute, Engine, Problem
from gdframe.engines.problem_state import copied
from gdframe.engines.stacked_engine import Stacked
from gdframe.engines.units import row_in_units
from gdframe.errors import UserError
from gdframe.hidden_state import DRAWS, undisturbed
from gdframe.loaders.base import Loader
from gdframe.registry import ENGINES
from gdframe.stopping import Stopping

log = logging.getLogger("gdframe")

SHARED = 0.4
"""Share of its estimate that a group takes on the linear engine: all runs read a row at once."""

LOADING = 1.0
"""Most seconds of an engine's setup that count as loading code, which the run needs too."""

EVALUATION, EVALUATION_OF_RUN, WORK = 1e-3, 40e-6, 0.25e-9
"""Seconds of an evaluation at an epoch's end, for each run in it, and for each product."""

GROWTH = 10.0
"""Multiple of the start from which on an objective counts as diverged."""


class _SharedMemoryError(Exception):
    """Trials wrote to memory that copies share, such as a class, and so changed each other."""


def with_lr(problem: Problem, lr: float) -> Problem:
    """Return a copy of a problem with another learning rate."""
    objective, optimizer = copied(problem)
    set_lr(optimizer, lr)
    return replace(problem, objective=objective, optimizer=optimizer)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of an optimizer.

    The rates of several parameter groups keep their ratios; ``lr`` is that of the first.
    """
    first = float(optimizer.param_groups[0]["lr"])
    for group in optimizer.param_groups:
        group["lr"] = lr if float(group["lr"]) == first else lr * (float(group["lr"]) / first)


class Trials:
    """Trains copies of a run with several learning rates, and leaves the run as it is.

    Args:
        problem: of the run, at its start.
        data: what it trains on.
        loader: which rows a step sees.
        epochs: of the run.
        stopping: rules that end a trial as they would end the run; those of others are not asked.
        engine: name of the engine of all trials; by default the fastest one for each group.

    Attributes:
        start: the objective before the first step; known after the first trials.
    """

    def __init__(
        self,
        problem: Problem,
        data: Dataset,
        loader: Loader,
        *,
        epochs: int,
        stopping: Stopping | None = None,
        engine: str = "auto",
    ) -> None:
        self.problem, self.data, self.loader, self.epochs = problem, data, loader, epochs
        self._engine_name = engine
        self._stopping = stopping if stopping is not None and stopping.is_built_in else None
        self.start = math.nan

    @property
    def steps_of_run(self) -> int:
        """Steps of the whole run."""
        return self.epochs * self.loader.steps_per_epoch

    def epochs_for(self, steps: int) -> int:
        """Return the epochs that a schedule is for, so that it ends with the steps."""
        return -(-steps // self.loader.steps_per_epoch)

    def seconds(self, runs: int, steps: int) -> float:
        """Return about how long steps of several runs take on the fastest engine.

        Loading code that the run itself needs does not count, and compiling it does.
        """
        estimates = []
        for kind in self._kinds:
            if kind is Stacked and runs == 1:
                continue
            setup, step = self._estimate(kind, runs)
            estimates.append((setup if setup > LOADING else 0.0) + steps * step)
        epochs = steps / self.loader.steps_per_epoch
        seconds = min(estimates) + epochs * (EVALUATION + runs * EVALUATION_OF_RUN)
        # engines estimate steps by the number of parameters, which convolutions use many times
        shared, parameters = self._products_of_row
        rows = steps * self.loader.batch_size * shared + epochs * self.data.rows * parameters
        return seconds + WORK * runs * rows

    @cached_property
    def _kinds(self) -> list[type[Engine]]:
        """Return the kinds of engines that can train several of the runs."""
        kinds = [kind for kind in (*map(ENGINES.get, ENGINES), Stacked) if isinstance(kind, type)]
        parts = [self.problem] * 2, self.data, self.loader
        return [k for k in kinds if issubclass(k, Engine) and k.why_not(*parts) is None]

    def _estimate(self, kind: type[Engine], runs: int) -> tuple[float, float]:
        """Return the seconds of an engine's setup and of a step of several runs."""
        estimate = kind.estimate([self.problem] * runs, self.data, self.loader)
        share = SHARED if runs > 1 and kind is ENGINES.get("linear") else 1.0
        return estimate.setup, estimate.step * share

    @cached_property
    def _products_of_row(self) -> tuple[int, int]:
        """Return the products of a value and a weight for a row: by weights used again, and all."""
        model, counts = self.problem.objective.model, [0]

        def count(module: nn.Module, inputs: Any, output: Any) -> None:
            weight = getattr(module, "weight", None)
            if isinstance(weight, Tensor) and isinstance(output, Tensor) and weight.ndim > 1:
                counts[0] += output.numel() * weight.numel() // weight.shape[0]

        parameters = sum(p.numel() for p in model.parameters())
        if self.problem.objective.loss is None:
            return 0, parameters
        other = copied(self.problem)[0].model.eval()
        for module in other.modules():
            module.register_forward_hook(count)
        with torch.no_grad():
            other(self.data.train.features[:1])
        return max(0, counts[0] - parameters), max(counts[0], parameters)

    def engine(self, problems: Sequence[Problem], steps: int, *, as_runs: bool = False) -> Engine:
        """Return the engine that should train the problems in the shortest time.

        One problem is trained on ``eager``, or as its run is.
        """
        parts, epochs = (problems, self.data, self.loader), self.epochs_for(steps)
        if len(problems) == 1:
            return build_engine(self._engine_name if as_runs else "eager", *parts, epochs=epochs)

        def seconds(kind: type[Engine]) -> float:
            setup, step = self._estimate(kind, len(problems))
            return setup + steps * step

        if self._engine_name == "auto" and min(self._kinds, key=seconds) is Stacked:
            try:
                return Stacked(*parts, epochs=epochs)
            except Exception as error:  # a refusal, or of a component that is not functional
                if isinstance(error, UserError) and not isinstance(error, CannotExecute):
                    raise
                log.debug("trials are not stacked: %s", error)
        return build_engine(self._engine_name, *parts, epochs=epochs)

    def train(self, rates: Sequence[float], steps: int, *, as_runs: bool = False) -> list[Trial]:
        """Train one run with each learning rate from the run's start; return what they reached.

        Args:
            rates: learning rates. If a step raises, or changes what all trials share,
                such as a class, they are trained one by one: where it raises again, as a
                decomposition of numbers that are not finite does, the trial has diverged.
            steps: at least 1; a trial may end earlier, by a rule.
            as_runs: whether trials may end as converged, as runs do, which costs more. One rate
                is then trained on the engine of its run.

        Raises:
            Exception: of a user's component, at each of the first rates.
        """
        is_first = math.isnan(self.start)
        try:
            return self._train(rates, steps, as_runs=as_runs)
        except UserError:
            raise
        except Exception as error:  # a component may raise anything
            log.debug("trials are trained one by one: %s", error)
            trials = [self._train_alone(lr, steps, as_runs=as_runs) for lr in rates]
            if is_first and not any(trials):
                raise
        return [trial or Trial(lr, math.nan, None) for trial, lr in zip(trials, rates, strict=True)]

    def _train_alone(self, lr: float, steps: int, *, as_runs: bool) -> Trial | None:
        """Train one run on the plain loop; return None if it raises."""
        try:
            return self._train([lr], steps, as_runs=as_runs)[0]
        except UserError:
            raise
        except Exception:  # a component may raise anything
            return None

    def _train(self, rates: Sequence[float], steps: int, *, as_runs: bool) -> list[Trial]:
        with undisturbed(**self.problem.components) as saved:
            metrics = self.problem.metrics if self._needs_metrics else {}
            problem = replace(self.problem, metrics=metrics)
            problems = [with_lr(problem, lr) for lr in rates]
            engine = self.engine(problems, steps, as_runs=as_runs)
            rows = self._rows(engine, 0)
            self.start = rows[0]["objective"]
            is_near = partial(self._is_near, engine) if as_runs else _is_not_near
            courses = [
                RunningTrial(
                    lr, self._stopping, row, epochs=self.epochs, noisy=self._is_noisy,
                    is_near=partial(is_near, run),
                )
                for run, (lr, row) in enumerate(zip(rates, rows, strict=True))
            ]  # fmt: skip
            done = 0
            while done < steps and not all(course.has_ended for course in courses):
                last = min(steps, engine.clock.epoch_end(done))
                is_finite = engine.advance(done, last).finite_steps() == last - done
                done, rows = last, self._rows(engine, last)
                for course, row, ok in zip(courses, rows, is_finite, strict=True):
                    if course.has_ended:
                        continue
                    if ok:
                        course.end_epoch(row)
                    else:
                        course.diverge()
            if len(rates) > 1 and saved is not None:
                changed = next((place for place in saved.changes() if place != DRAWS), None)
                if changed is not None:
                    raise _SharedMemoryError(changed)
        return [course.trial() for course in courses]

    def _is_near(self, engine: Engine, run: int, row: Mapping[str, float]) -> bool:
        return is_near(engine.runs[run].objective, self.data, row, engine.parameters(run))

    @property
    def _is_noisy(self) -> bool:
        return self.loader.steps_per_epoch > 1

    def _rows(self, engine: Engine, step: int) -> list[dict[str, float]]:
        """Return what rules may read of each run at an epoch's end."""
        epoch = step / self.loader.steps_per_epoch
        rows = [
            {
                "epoch": epoch,
                "step": step,
                "objective": e.objective,
                "train_loss": e.loss,
                "gradient_norm": e.gradient_norm,
                **{f"train/{name}": value for name, value in e.metrics.items()},
            }
            for e in engine.evaluate("train", whole=self._needs_metrics)
        ]
        if self.data.validation is not None:
            evaluations = engine.evaluate("validation", whole=self._needs_metrics)
            for row, e in zip(rows, evaluations, strict=True):
                row["validation_loss"] = e.loss
                row |= {f"validation/{name}": value for name, value in e.metrics.items()}
        return [row_in_units(row, engine.runs[0], self.data) for row in rows]

    @property
    def _needs_metrics(self) -> bool:
        return self._stopping is not None and bool(self._stopping.columns)

    def has_diverged(self, trial: Trial) -> bool:
        """Return whether the objective of a trial is not finite, or has grown far."""
        return not trial.objective <= GROWTH * abs(self.start)


def _is_not_near(run: int, row: Mapping[str, float]) -> bool:
    """Return that no trial has converged: to know costs more than its remaining epochs."""
    return False
