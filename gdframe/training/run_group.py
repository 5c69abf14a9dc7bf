"""Runs of one structure that an engine trains together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial

from gdframe.engines.base import CannotExecute, Engine, Trace
from gdframe.engines.eager import Eager
from gdframe.engines.thread_limit import one_thread_if_small, products_of
from gdframe.stopping import Verdict
from gdframe.training.checks import refuse_changed_rows
from gdframe.training.evaluation import Evaluator
from gdframe.training.replay import SnapshotTimer
from gdframe.training.run import Run
from gdframe.training.stopwatch import SharedStopwatch


class RunGroup:
    """Runs on one engine, all at the same step, that share data and loader.

    Args:
        runs: in the engine's order.
        engine: executes them.

    Attributes:
        runs: those that are still training.
        verdicts: of the last judgement, on runs that end; also if a run raised before its end.
    """

    def __init__(self, runs: Sequence[Run], engine: Engine) -> None:
        self.runs = list(runs)
        self.verdicts: dict[Run, Verdict] = {}
        self._wasted, self._rebuild_seconds = 0.0, engine.rebuild_seconds
        self._seat(engine)

    def _seat(self, engine: Engine) -> None:
        self.engine, self._evaluator = engine, Evaluator(engine)
        self._products_of_step = products_of(engine.runs, engine.data, engine.loader.batch_size)
        for index, run in enumerate(self.runs):
            run.seat(self._evaluator, index)

    @property
    def step(self) -> int:
        """Updates done by each run."""
        return self.runs[0].step

    def begin(self) -> dict[Run, Verdict]:
        """Begin all runs; return the verdicts on those that end at once."""
        self.engine.copy_from_modules()
        self._evaluator.reset()
        self._stopwatch, self._snapshot_timer = SharedStopwatch(len(self.runs)), SnapshotTimer()
        verdicts = self._judge_all(lambda run: run.begin(self._stopwatch))
        self._refuse_changed_rows()
        return verdicts

    def execute(self, steps: int) -> Trace:
        """Execute steps of all runs, at least 1 and at most to the end of the epoch."""
        first = self.step
        last = min(first + steps, self.engine.clock.epoch_end(first))
        self._evaluator.reset()
        with one_thread_if_small(self._products_of_step):
            return self.engine.advance(first, last)

    def judge(self, trace: Trace) -> dict[Run, Verdict]:
        """Record what was executed; return the verdicts on runs that end."""
        finite_steps = trace.finite_steps()
        last = self.step + trace.loss.shape[1]
        ends_epoch = last % self.engine.clock.steps_per_epoch == 0

        def judge(run: Run) -> Verdict | None:
            verdict = run.record(trace, int(finite_steps[run.index]))
            if verdict is None and ends_epoch:
                verdict = run.end_epoch()
            return verdict or run.out_of_time()

        verdicts = self._judge_all(judge)
        if verdicts:
            self._refuse_changed_rows()
        return verdicts

    def _refuse_changed_rows(self) -> None:
        for run in self.runs[:1]:  # runs of one structure have the same kinds of components
            refuse_changed_rows(run.spec.problem, run.spec.data)

    def _judge_all(self, judge: Callable[[Run], Verdict | None]) -> dict[Run, Verdict]:
        self.verdicts = {}
        for run in self.runs:
            if verdict := judge(run):
                self.verdicts[run] = verdict
        return self.verdicts

    def snapshot(self) -> None:
        """Take snapshots of all runs if the last ones are old."""
        if self._snapshot_timer.is_due():
            for run in self.runs:
                assert run.snapshots is not None
                evaluated = int(run.history.last["step"])
                run.snapshots.add(run.snapshot(), evaluated)
            self._snapshot_timer.restart()

    def remove(self, run: Run) -> None:
        """Let a run that has ended leave the group."""
        if len(self.engine.runs) > 1:
            run.engine.retire(run.index)
        self.runs.remove(run)
        self._stopwatch.leave()

    def shrink(self, block_seconds: float) -> None:
        """Continue on an engine for fewer runs when ended ones cost more time than building it.

        Args:
            block_seconds: time that the last block took.
        """
        total, training = len(self.engine.runs), len(self.runs)
        if not self.runs or total == training:
            return
        self._wasted += block_seconds * (total - training) / total
        if self._wasted > self._rebuild_seconds:
            start = time.perf_counter()
            self._seat(self.engine.only([run.index for run in self.runs]))
            self._wasted, self._rebuild_seconds = 0.0, time.perf_counter() - start

    def separate(self) -> Iterator[tuple[Run, Callable[[], RunGroup]]]:
        """Split the group: yield each run and a function that makes a group of it alone."""
        for run in self.runs:
            run.pause()
        engine = self.engine
        while self.runs:
            run = self.runs.pop()
            yield run, partial(_group_of_one, run, engine)

    def close(self) -> None:
        """Close the runs that are still here."""
        with ExitStack() as stack:  # each is closed, also after an error of another
            for run in reversed(self.runs):
                stack.callback(run.close)


def _group_of_one(run: Run, engine: Engine) -> RunGroup:
    """Return a group of one run that was trained on an engine in another group."""
    return RunGroup([run], _engine_for_one_run(run, engine))


def _engine_for_one_run(run: Run, engine: Engine) -> Engine:
    """Return an engine of the same kind for a run alone, at the step it has recorded.

    Args:
        run: continues.
        engine: trained the run in a group, and may be in any state.
    """
    spec = run.spec
    try:
        alone = type(engine)([spec.problem], spec.data, spec.loader, epochs=spec.epochs)
    except CannotExecute:  # compiling one run is another matter than compiling a group
        alone = Eager([spec.problem], spec.data, spec.loader, epochs=spec.epochs)
    alone.reason = engine.reason
    if run.snapshots is not None:
        run.snapshots.replay(alone, 0, run.step)
        alone.copy_to_module(0)  # it begins from what its module holds
    return alone
