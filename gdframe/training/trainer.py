"""The training loop: execute a block of steps, judge each run, remove those that have ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from gdframe.data.dataset import Dataset
from gdframe.diagnostics.base import Diagnosis
from gdframe.diagnostics.learning_rate import AUTO
from gdframe.diagnostics.learning_rate.automatic import choose_rate
from gdframe.diagnostics.learning_rate.trials import set_lr
from gdframe.engines.auto import build_engine
from gdframe.engines.base import Engine
from gdframe.engines.eager import Eager
from gdframe.engines.thread_limit import one_thread_if_small, products_of
from gdframe.errors import UserError, bad_value
from gdframe.interrupt import interruptible
from gdframe.loaders.base import Loader
from gdframe.losses.base import Loss
from gdframe.metrics.base import Metric
from gdframe.metrics.tally import named_metrics
from gdframe.observers.base import Observer
from gdframe.penalties.base import Penalty
from gdframe.registry import ENGINES
from gdframe.runs.files import NotWrittenError
from gdframe.runs.log import begin_launch
from gdframe.runs.result import Result
from gdframe.schedules import Schedule
from gdframe.stopping import Status, Stopping, StoppingRule, Verdict
from gdframe.training.blocks import BlockSizer
from gdframe.training.checks import check_list
from gdframe.training.evaluation import Evaluator
from gdframe.training.run import Run
from gdframe.training.run_group import RunGroup
from gdframe.training.run_spec import RunSpec
from gdframe.training.surroundings import surroundings

Ended = Callable[[Run, Result], None]
Failed = Callable[[Run, Exception], None]


def train(
    group: RunGroup,
    stop: Callable[[], str | None],
    *,
    ended: Ended,
    failed: Failed | None = None,
) -> None:
    """Train a group until every run has ended, each as if it were alone.

    Args:
        group: the runs.
        stop: returns the name of a signal that has arrived, such as Ctrl-C, or None. The runs then
            end at the next block with the status ``interrupted``.
        ended: called with each run and its result when it ends.
        failed: called with a run that raised, and its error; the other runs continue, each by
            itself. By default the error is raised, and all end.

    Raises:
        NotWrittenError: a folder cannot be written to; no run continues.
    """
    try:
        with one_thread_if_small(products_of(group.engine.runs, group.engine.data)):
            _loop(group, stop, ended, failed)
    except NotWrittenError:
        raise
    except Exception as error:
        if failed is None:
            raise
        if len(group.runs) > 1:
            _end(group, group.verdicts, ended, failed)
            _one_by_one(group, stop, ended, failed)
        elif group.runs:
            failed(group.runs[0], error)
    finally:
        group.close()


def _loop(
    group: RunGroup, stop: Callable[[], str | None], ended: Ended, failed: Failed | None
) -> None:
    blocks = BlockSizer()
    _end(group, group.begin(), ended, failed)
    while group.runs:
        with blocks.measure(len(group.engine.runs)):
            group.snapshot()
            trace = group.execute(blocks.next_steps)
        _end(group, group.judge(trace), ended, failed)
        group.shrink(blocks.seconds)
        if group.runs and (name := stop()):
            verdict = Verdict(Status.INTERRUPTED, f"interrupted by {name}")
            _end(group, dict.fromkeys(group.runs, verdict), ended, failed)


def _end(
    group: RunGroup, verdicts: Mapping[Run, Verdict], ended: Ended, failed: Failed | None
) -> None:
    """End the runs that have a verdict and have not ended; one that raises harms no other."""
    for run, verdict in verdicts.items():
        if run not in group.runs:
            continue
        try:
            try:
                result = run.finish(verdict)
            finally:
                group.remove(run)
                run.close()
            ended(run, result)
        except NotWrittenError:
            raise
        except Exception as error:
            if failed is None:
                raise
            failed(run, error)


def _one_by_one(
    group: RunGroup, stop: Callable[[], str | None], ended: Ended, failed: Failed
) -> None:
    """Continue with each run alone, since one of them raised and the others shall not suffer."""
    for run, make_group in group.separate():
        try:
            alone = make_group()
        except Exception as error:
            failed(run, error)
            run.close()
        else:
            train(alone, stop, ended=ended, failed=failed)


def train_alone(group: RunGroup) -> Result:
    """Train a group of one run until it has ended; Ctrl-C ends it at the next block.

    Raises:
        Exception: what the run raised.
    """
    results: list[Result] = []
    with interruptible() as signal_name:
        train(group, signal_name, ended=lambda _, result: results.append(result))
    return results[0]


class Trainer:
    """Trains one run: minimises an objective and returns how it ended.

    Args:
        engine: executes epochs, by name.
        observers: watch the run.
        diagnosis: measures curvature and explains the verdict, such as ``Diagnostics``; by default
            nothing.
        max_points: most steps that the history keeps.

    All other arguments are those of ``RunSpec``; metrics may be given by name, and stopping as a
    list of rules besides those of ``Stopping()``.

    Raises:
        UserError: components that do not fit each other.

    Example:
        >>> import gdframe
        >>> data = gdframe.Dataset.from_arrays([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
        >>> model = gdframe.Linear(1)
        >>> optimizer = gdframe.GD(model.parameters(), lr=0.3)
        >>> trainer = Trainer(model, gdframe.MSE(), optimizer, gdframe.FullBatch(3), data)
        >>> result = trainer.fit()
        >>> [round(p.item(), 2) for p in model.parameters()]  # y = 2 x + 1
        [2.0, 1.0]
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss | None,
        optimizer: torch.optim.Optimizer,
        loader: Loader,
        data: Dataset,
        *,
        penalty: Penalty | None = None,
        schedule: Schedule | None = None,
        stopping: Stopping | Sequence[StoppingRule] | None = None,
        metrics: Sequence[str | Metric] | None = None,
        epochs: int = 100,
        evaluate_every: int = 1,
        seed: int = 0,
        engine: str = "auto",
        observers: Sequence[Observer] = (),
        max_points: int = 1000,
        diagnosis: Diagnosis | None = None,
        lr: str | None = None,
    ) -> None:
        begin_launch()
        named = None if metrics is None else named_metrics(check_list("metrics", metrics))
        spec = RunSpec(
            model, loss, optimizer, loader, data, penalty, schedule, _stopping(stopping), named,
            epochs, seed, evaluate_every,
        )  # fmt: skip
        lr_reason = "" if lr is None else _set_automatic_rate(spec, lr)
        self.run = Run(spec, observers=observers, diagnosis=diagnosis, max_points=max_points)
        self.run.lr_reason = lr_reason
        built = build_engine(engine, [spec.problem], data, loader, epochs=epochs)
        self._engine = built
        self.run.seat(Evaluator(built), 0)
        self._checksum, self._surroundings = data.checksum(), surroundings()
        self.run.components_at_build = spec.saved_components()

    @property
    def engine(self) -> Engine:
        """The engine that executes the run."""
        return self._engine

    def fit(self) -> Result:
        """Train until a rule ends the run; return how it ended and what it measured.

        A run that was restored goes on from there, and one that has ended from its end. Ctrl-C ends
        the run at the next block with the status ``interrupted``.
        """
        spec = self.run.spec
        reason = type(self.engine).why_not([spec.problem], spec.data, spec.loader)
        if reason is not None:
            name = ENGINES.name_of(self.engine)
            raise UserError(
                f"the run was changed after its trainer was built, and engine={name} cannot "
                f"execute it any more: {reason}; build the trainer after the change"
            )
        if not isinstance(self.engine, Eager) and surroundings() != self._surroundings:
            raise UserError(
                "autocast, a mode of PyTorch or the mode of gradients is another than when the "
                f"trainer was built, and engine={ENGINES.name_of(self.engine)} does not see it: "
                "build the trainer inside it, too, or use engine=eager"
            )
        place = (
            self.run.components_at_build.changed()
            if self.run.components_at_build is not None
            else None
        )
        if place is None and self._checksum != spec.data.checksum():
            place = "data"
        if place is not None:
            raise UserError(
                f"the run's {place} was changed after its trainer was built: build the trainer "
                "after the change"
            )
        try:
            return train_alone(RunGroup([self.run], self._engine))
        finally:
            self.run.components_at_build = spec.saved_components()


def _set_automatic_rate(spec: RunSpec, lr: str) -> str:
    """Set the learning rate of a run's optimizer to one that trains well; return why.

    Raises:
        UserError: ``lr`` is not ``auto``.
    """
    if lr != AUTO:
        raise bad_value(f"lr={lr!r}", "'auto'", "give a number to the optimizer")
    choice = choose_rate(
        spec.problem, spec.data, spec.loader, epochs=spec.epochs, stopping=spec.stopping
    )
    set_lr(spec.optimizer, choice.lr)
    return choice.reason


def _stopping(stopping: Stopping | Sequence[StoppingRule] | None) -> Stopping:
    if stopping is None:
        return Stopping()
    if isinstance(stopping, Stopping):
        return stopping
    return Stopping(rules=check_list("stopping", stopping))
