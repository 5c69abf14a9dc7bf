"""A run in memory: where it is, what it measured, and how it ends."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from gdframe.diagnostics.base import Diagnosis, FailSafe
from gdframe.diagnostics.nearness import is_near
from gdframe.engines.base import Engine, Trace
from gdframe.errors import bad_value
from gdframe.hidden_state import HiddenState
from gdframe.observers.base import Observer
from gdframe.registry import ENGINES, is_built_in
from gdframe.runs.checkpoint_file import Capture
from gdframe.runs.history import History
from gdframe.runs.result import Result
from gdframe.schedules import Clock
from gdframe.stopping import EpochEnd, Memory, Status, Verdict, divergence_verdict
from gdframe.stopping.rule_set import RuleError
from gdframe.training.capture import Best, capture, copied, restore
from gdframe.training.changing_components import ChangingComponents
from gdframe.training.checks import check_observers
from gdframe.training.evaluation import Evaluator, first_not_finite
from gdframe.training.outcome import make_result
from gdframe.training.replay import Snapshot, Snapshots, go_back
from gdframe.training.run_spec import RunSpec
from gdframe.training.stopwatch import SharedStopwatch
from gdframe.training.watching import Watchers

log = logging.getLogger("gdframe")


class Run:
    """The state of a run while an engine trains it, alone or in a group.

    Args:
        spec: what it is built from.
        observers: watch it, and cannot change it.
        diagnosis: measures curvature and explains the verdict; by default nothing.
        max_points: most steps that the history keeps.

    Attributes:
        step, history: updates done, and what was measured so far.
        memories: what each stopping rule remembers.
        best: for each rule that keeps the best parameters, where they are.
        components_at_build: copies from before ``fit()``; None on the command line.
        executed: steps executed, also those that a return to better parameters undid.
        undone, undone_before: how many the last return undid, in this process and the one before.
        engine, index: what executes the run, and which of its runs this is; set by ``seat``.
        lr_reason: why ``lr=auto`` chose the learning rate; else empty.
        constructed: digests of what users' components held when they were built.

    Raises:
        UserError: ``max_points`` is below 1, or an observer is no Observer.
    """

    engine: Engine
    index: int
    engine_name: str
    engine_reason: str

    def __init__(
        self,
        spec: RunSpec,
        *,
        observers: Sequence[Observer] = (),
        diagnosis: Diagnosis | None = None,
        max_points: int = 1000,
    ) -> None:
        if max_points < 1:
            raise bad_value(f"max_points={max_points}", "a whole number of at least 1")
        self.spec = spec
        self.observers = observers
        self.diagnosis = FailSafe(diagnosis or Diagnosis(), spec.stopping.least_decrease)
        self.diagnosis.begin(spec.problem, spec.data, spec.loader, spec.epochs)
        total_steps = spec.epochs * spec.loader.steps_per_epoch
        self.history = History(max_points=max_points, total_steps=total_steps)
        self.step = self.executed = self.undone = self.undone_before = 0
        self.memories: dict[str, Memory] = {}
        self.best: dict[str, Best] = {}
        self.snapshots: Snapshots | None = None
        self._components = ChangingComponents(spec)
        self.seconds_before = 0.0
        self.observer_states: dict[str, Tensor] = {}
        self.components_at_build: HiddenState | None = None
        self._is_advised, self.lr_reason, self.constructed = False, "", dict[str, str]()
        self._stopwatch: SharedStopwatch | None = None

    @property
    def observers(self) -> list[Observer]:
        """The observers of the run."""
        return self._watchers.observers

    @observers.setter
    def observers(self, observers: Sequence[Observer]) -> None:
        self._watchers = Watchers(self, check_observers(observers))

    @property
    def reads_metrics(self) -> bool:
        """Return whether a user has named metrics, or a component may read any column."""
        is_read = self.spec.stopping.reads_metrics or not all(map(is_built_in, self.observers))
        return is_read or self.spec.metrics is not None

    @property
    def clock(self) -> Clock:
        """Return how steps relate to epochs."""
        return self.spec.clock

    @property
    def epochs(self) -> int:
        """The limit on epochs."""
        return self.spec.epochs

    @property
    def evaluate_every(self) -> int:
        """Number of epochs between two evaluations."""
        return self.spec.evaluate_every

    @property
    def seconds(self) -> float:
        """Training time: of a group, this run's share; with the time before a resume."""
        return self.seconds_before + (self._stopwatch.seconds if self._stopwatch else 0.0)

    def parameters(self) -> Mapping[str, Tensor]:
        """Return the current parameters by name."""
        return self.engine.parameters(self.index)

    def is_finite(self) -> bool:
        """Return whether objective and gradient over all rows are finite."""
        return first_not_finite(self._evaluate()) is None

    def seat(self, evaluator: Evaluator, index: int) -> None:
        """Take a place on an engine.

        Args:
            evaluator: of the engine.
            index: which of the engine's runs this is.
        """
        self.engine, self.index, self._evaluator = evaluator.engine, index, evaluator

    def begin(self, stopwatch: SharedStopwatch) -> Verdict | None:
        """Evaluate a new run at its start, and a resumed run where it stopped before an evaluation.

        The observers learn of the start.
        """
        self._stopwatch = stopwatch
        if self.snapshots is not None:  # it began before, in a group
            return self._catch_up()
        self.engine_name, self.engine_reason = ENGINES.name_of(self.engine), self.engine.reason
        verdict = None
        if not len(self.history):
            row = self._evaluate()
            self._add(row)
            self.spec.stopping.check(self.history.last, self.spec.data.task)
            if bad := first_not_finite(row):
                verdict = divergence_verdict(*bad, step=0, lr=self.spec.lr, parameter=None)
            else:
                verdict = self._follow(self._epoch_end())
        elif self.step == self.history.last["step"]:  # a resumed run may have new rules
            new = [name for name in self.spec.stopping.rules if name not in self.memories]
            verdict = self._follow(self._epoch_end(), new)
        self.snapshots = Snapshots(self.snapshot())
        self._components.begin()
        failure = self._watchers.start(self.observer_states)
        return failure or verdict or self._catch_up()

    def _catch_up(self) -> Verdict | None:
        if self.spec.is_evaluated(self.step) and self.history.last["step"] != self.step:
            return self.end_epoch()  # it stopped before the epoch was evaluated
        return self._judge(self._epoch_end())

    def record(self, trace: Trace, finite_steps: int) -> Verdict | None:
        """Record a block of steps; the run has diverged if one of them is not finite.

        Args:
            trace: of all the engine's runs.
            finite_steps: how many of this run's steps come before the first that is not finite.
        """
        loss, norm = trace.of_run(self.index, self.spec.unit, self.spec.gradient_unit)
        first, self.step = self.step, self.step + finite_steps
        self.executed += finite_steps
        records = self.history.add_steps(first, loss[:finite_steps], norm[:finite_steps])
        if finite_steps and self.snapshots is not None:
            value = trace.loss[self.index, finite_steps - 1].item()
            self.snapshots.recorded = (self.step, value)
        if failure := self._watchers.tell("on_block", records):
            return failure
        if finite_steps == len(loss):
            return None
        value, slope = loss[finite_steps].item(), norm[finite_steps].item()
        what = ("gradient norm", slope) if math.isfinite(value) else ("loss", value)
        return self._diverge(*what, step=self.step + 1)

    def end_epoch(self) -> Verdict | None:
        """Evaluate an epoch's end, if that is due, and judge it."""
        if not self.spec.is_evaluated(self.step):
            return None
        is_end = self.step >= self.epochs * self.clock.steps_per_epoch
        row = self._evaluate(whole=is_end or self.reads_metrics)
        if bad := first_not_finite(row):
            return self._diverge(*bad, step=self.step)
        self._add(row)
        end = self._epoch_end()
        return self._follow(end) or self._watchers.tell("on_epoch") or self._judge(end)

    def out_of_time(self) -> Verdict | None:
        """Judge the training time."""
        try:
            return self.spec.stopping.judge_time(self.seconds, self.spec.problem.guard)
        except RuleError as error:
            return self._failure(error)

    def _judge(self, end: EpochEnd) -> Verdict | None:
        stopping = self.spec.stopping
        try:
            verdict, name = stopping.judge(self.memories, end, self.spec.problem.guard)
        except RuleError as error:
            return self._failure(error)
        if verdict is None or name is None:
            return verdict
        if verdict.restores_best:
            if name not in self.best:
                return self._failure(
                    f"stopping rule {name} returns to the best parameters, but its follow never "
                    "returned True to keep any"
                )
            self._return_to(self.best[name])
        self._is_advised = bool(verdict.advice) and not is_built_in(stopping.rules[name])
        return verdict

    def _follow(self, end: EpochEnd, names: Sequence[str] | None = None) -> Verdict | None:
        """Update the memories of stopping rules; keep parameters that are the best so far."""
        stopping, problem = self.spec.stopping, self.spec.problem
        if not stopping.is_built_in:
            self.engine.copy_to_module(self.index)  # the rules may read the module
        try:
            for rule in stopping.follow(self.memories, end, problem.guard, names):
                self.best[rule] = Best(self.snapshot(), copied(self.memories), self.executed)
        except RuleError as error:
            return self._failure(error)
        return None

    def _failure(self, error: RuleError | str) -> Verdict:
        """Return the verdict on a run with a stopping rule that fails."""
        cause = error.__cause__ if isinstance(error, RuleError) else None
        log.error("%s", error, exc_info=cause)
        return Verdict(Status.FAILED, str(error))

    def _epoch_end(self) -> EpochEnd:
        spec, row, noisy = self.spec, self.history.last, self.clock.steps_per_epoch > 1
        return EpochEnd(
            row, self.history.first, self.epochs, spec.lr, noisy,
            lambda: is_near(spec.objective, spec.data, row, self.parameters()),
        )  # fmt: skip

    def _return_to(self, best: Best) -> None:
        """Return to the parameters that a stopping rule kept as the best."""
        self._leave_group()
        best.snapshot.load(self.engine, self.index)
        self._evaluator.reset()
        self.step, self.memories = best.snapshot.step, copied(best.memories)
        self.undone = self.executed - best.executed

    def _leave_group(self) -> None:
        """Take a place on an engine of its own; the other runs continue without this one."""
        if len(self.engine.runs) > 1:
            self.engine.retire(self.index)
            self.seat(Evaluator(self.engine.alone(self.index)), 0)

    def _diverge(self, what: str, value: float, *, step: int) -> Verdict:
        """Go back to the last state whose objective is finite; return the verdict.

        Args:
            what: the quantity that is not finite at the current parameters.
            value: what it is.
            step: the step at which it appeared, counted from 1.
        """
        self._leave_group()
        updates = self.step
        self._replay(updates)
        broken = [name for name, p in self.parameters().items() if not p.isfinite().all()]
        if not self.is_finite():
            go_back(updates, self._replay, self.is_finite)
        self.undone = updates - self.step
        parameter = broken[0] if broken else None
        return divergence_verdict(what, value, step=step, lr=self.spec.lr, parameter=parameter)

    def snapshot(self) -> Snapshot:
        """Return a copy of where the run is, for a way back in this process."""
        return Snapshot(self.step, self.engine.state(self.index), self._components.copied())

    def _replay(self, step: int) -> int:
        assert self.snapshots is not None
        self.step = self.snapshots.replay(self.engine, self.index, step)
        self._evaluator.reset()
        return self.step

    def finish(self, verdict: Verdict) -> Result:
        """End the run; return its result."""
        row = self.history.last
        if row["step"] != self.step or not self.engine.measures_all:
            row = self._evaluate()
        explained = self.diagnosis.explain(
            verdict, self.history, self.parameters(), row, is_rate_searched=bool(self.lr_reason)
        )
        verdict = replace(explained, advice=verdict.advice) if self._is_advised else explained
        result = make_result(self, verdict, row)
        if failure := self._watchers.tell("on_end", result):
            result.status, result.reason = failure.status, str(failure)
        return result

    def pause(self) -> None:
        """Stop the watch."""
        self.seconds_before, self._stopwatch = self.seconds, None

    def close(self) -> None:
        """Stop the watch, and close the observers."""
        self.pause()
        self.snapshots = None
        self._watchers.close()

    def capture(self) -> Capture:
        """Return copies of all that is needed to go on from here; observers are flushed before."""
        self._watchers.flush()
        self._components.warn_of_unsaved()
        return capture(self)

    def restore(self, captured: Capture) -> None:
        """Return to the state that ``capture`` returned.

        Raises:
            UserError: it is of a run on other data.
            ValueError: it is of another model.
        """
        restore(self, captured)
        if self.components_at_build is not None:
            self.components_at_build = self.spec.saved_components()

    def _evaluate(self, *, whole: bool = True) -> dict[str, float]:
        """Return a row of the history, evaluated at the current parameters."""
        return self._evaluator.row(self.index, self.step, self.seconds, whole=whole)

    def _add(self, row: dict[str, float]) -> None:
        """Add a row to the history, with the columns of the diagnosis."""
        self.history.add_epoch(row | self.diagnosis.columns(row, self.parameters()))
