"""The loop: advance the engine a block of steps, evaluate at the end of an epoch, judge."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import torch
from torch import Tensor, nn

from gdframe.data.dataset import Dataset
from gdframe.engines.base import Engine, Run
from gdframe.errors import UserError
from gdframe.history import History
from gdframe.interrupt import interruptible
from gdframe.loaders.base import Loader
from gdframe.losses.base import Loss
from gdframe.measurement import Measurement, finite_steps, not_finite
from gdframe.objective import Objective
from gdframe.observers.base import Observer
from gdframe.penalties.base import Penalty
from gdframe.recovery import Recovery
from gdframe.registry import ENGINES, LOSSES, MODELS, OPTIMIZERS
from gdframe.result import Result
from gdframe.schedules import Clock, Constant, Schedule
from gdframe.stopping import Course, Status, Stopping, Verdict, diverged
from gdframe.storage import Capture

BLOCK_SECONDS = 0.1
"""How long a block of steps should take: how soon a run notices Ctrl-C or its time limit."""


class Trainer:
    """Minimises an objective and says how it ended.

    Args:
        model: on the data's device and of its type; its parameters are where the run starts.
        loss: error of a prediction; None for a Function.
        optimizer: bound to the model's parameters.
        loader: which rows each update sees.
        data: what to train on; ``Dataset.none()`` for a Function.
        penalty: of the parameters; by default none.
        schedule: factor of the learning rate by step; by default constant.
        stopping: why the run ends, besides its limit.
        epochs: that limit, at least 1.
        seed: of the order of rows.
        engine: how epochs are executed, by name.
        observers: who watches.
        max_points: most steps the history keeps.

    Raises:
        UserError: parts that do not fit each other.

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
        stopping: Stopping | None = None,
        epochs: int = 100,
        seed: int = 0,
        engine: str = "auto",
        observers: Sequence[Observer] = (),
        max_points: int = 1000,
    ) -> None:
        if epochs < 1:
            raise UserError(f"epochs={epochs}: must be at least 1")
        if max_points < 1:
            raise UserError(f"logging.max_points={max_points}: must be at least 1")
        if loader.rows != data.rows:
            raise UserError(f"the loader is for {loader.rows} rows, and the data has {data.rows}")
        own = {id(parameter) for parameter in model.parameters()}
        if any(id(p) not in own for group in optimizer.param_groups for p in group["params"]):
            raise UserError("the optimizer is bound to parameters that are not the model's")
        self.objective = Objective(model, loss, penalty)
        self.objective.check(data)
        self.run = Run(self.objective, optimizer, schedule or Constant(), seed)
        self.lr = float(optimizer.param_groups[0]["lr"])
        self.data, self.loader, self.epochs = data, loader, epochs
        self.clock = Clock(loader.steps_per_epoch, epochs)
        self.stopping = stopping or Stopping()
        self.engine: Engine = ENGINES.build(
            engine, runs=[self.run], data=data, loader=loader, epochs=epochs
        )
        self.observers = list(observers)
        self.history = History(max_points=max_points, total_steps=epochs * loader.steps_per_epoch)
        self.step = 0
        self.course: Course | None = None
        self._measurement = Measurement(self.engine, self.lr)
        self._fingerprint = data.fingerprint()
        self._seconds = 0.0
        self._started: float | None = None

    def fit(self) -> Result:
        """Train until a rule ends the run; return how it ended and what it measured.

        A trainer that was restored goes on from there. Ctrl-C ends the run at the next block with
        the status ``interrupted``.
        """
        try:
            with interruptible() as signal_name:
                verdict = self._begin()
                while verdict is None:
                    verdict = self._advance()
                    if verdict is None and (name := signal_name()):
                        verdict = Verdict(Status.INTERRUPTED, f"interrupted by {name}")
                return self._finish(verdict)
        finally:
            self._seconds, self._started = self.seconds, None
            for observer in self.observers:
                observer.close()

    def _begin(self) -> Verdict | None:
        self._started = time.perf_counter()
        verdict = None
        if self.course is None:
            row = self._measure()
            self.history.add_epoch(row)
            start = row["objective"]
            self.course = Course(start=start, slope=row["gradient_norm"], best=start, last=start)
            if bad := not_finite(row):
                verdict = diverged(*bad, step=0, lr=self.lr, parameter=None)
        self._recovery = Recovery(self.engine, self.step)
        self._block = 16
        for observer in self.observers:
            observer.on_start(self)
        at_an_end = self.step % self.clock.steps_per_epoch == 0
        if at_an_end and self.history.last["step"] != self.step:
            return self._end_epoch()  # captured before the epoch was evaluated
        return verdict or self._judge()

    def _advance(self) -> Verdict | None:
        """Execute a block of steps, and what follows if it ends an epoch."""
        first, begun = self.step, time.perf_counter()
        self._recovery.note(first)
        last = min(first + self._block, self.clock.epoch_end(first))
        trace = self.engine.advance(first, last)
        taken = time.perf_counter() - begun
        growth = min(8.0, BLOCK_SECONDS / max(taken, 1e-9))
        self._block = min(max(1, int(self._block * growth)), 1 << 20)
        finite = finite_steps(trace)
        self.step = first + finite
        kept = self.history.add_steps(first, trace, finite)
        for observer in self.observers:
            observer.on_block(self, kept)
        if finite < trace.loss.shape[1]:
            loss, norm = trace.loss[0, finite].item(), trace.gradient_norm[0, finite].item()
            what = ("gradient norm", norm) if math.isfinite(loss) else ("loss", loss)
            return self._diverge(*what, step=self.step + 1)
        verdict = None
        if self.step % self.clock.steps_per_epoch == 0:
            verdict = self._end_epoch()
        return verdict or self.stopping.out_of_time(self.seconds)

    def _end_epoch(self) -> Verdict | None:
        row = self._measure(whole=False)
        if bad := not_finite(row):
            return self._diverge(*bad, step=self.step)
        assert self.course is not None
        self.history.add_epoch(row)
        self.stopping.follow(self.course, row["objective"], noisy=self.clock.steps_per_epoch > 1)
        for observer in self.observers:
            observer.on_epoch(self)
        return self._judge()

    def _judge(self) -> Verdict | None:
        row = self.history.last
        assert self.course is not None
        return self.stopping.judge(
            self.course,
            objective=row["objective"],
            gradient_norm=row["gradient_norm"],
            epoch=int(row["epoch"]),
            epochs=self.epochs,
            lr=self.lr,
        )

    def _diverge(self, what: str, value: float, *, step: int) -> Verdict:
        """Say what happened, and go back to the last state whose objective is finite.

        Args:
            what: what is not finite, measured at the current parameters.
            value: what it is.
            step: the update that met it, counted from 1.
        """
        updates = self.step
        self._recovery.replay(updates)
        broken = [name for name, p in self.parameters().items() if not p.isfinite().all()]
        while not self.is_finite() and self.step == updates:
            updates -= 1
            self.step = self._recovery.replay(updates)
        parameter = broken[0] if broken else None
        return diverged(what, value, step=step, lr=self.lr, parameter=parameter)

    def _finish(self, verdict: Verdict) -> Result:
        row = self.history.last
        if row["step"] != self.step or not self.engine.measures_all:
            row = self._measure()
        result = self._result(verdict, row)
        for observer in self.observers:
            observer.on_end(self, result)
        return result

    def failed(self, error: Exception) -> Result | None:
        """Return the result of a run that raised, from what it had measured before, if anything."""
        if not len(self.history):
            return None
        verdict = Verdict(Status.FAILED, f"{type(error).__name__}: {error}")
        return self._result(verdict, self.history.last)

    def _measure(self, *, whole: bool = True) -> dict[str, float]:
        """Return a row of the history, measured at the current parameters."""
        return self._measurement.row(self.step, self.seconds, whole=whole)

    def _result(self, verdict: Verdict, row: Mapping[str, float]) -> Result:
        """Gather the result of the run; ``row`` measures where it ended."""
        self.engine.settle(0)
        model, loss = self.objective.model, self.objective.loss
        metrics: dict[str, dict[str, float]] = {"train": {}, "validation": {}}
        for name, value in row.items():
            part, _, metric = name.partition("/")
            if part in metrics:
                metrics[part][metric] = value
        return Result(
            status=verdict.status,
            reason=verdict.reason,
            variant=self.loader.variant,
            engine=ENGINES.name_of(self.engine),
            engine_reason=self.engine.reason,
            model=MODELS.name_of(model),
            loss=None if loss is None else LOSSES.name_of(loss),
            optimizer=OPTIMIZERS.name_of(self.run.optimizer),
            lr=self.lr,
            seed=self.run.seed,
            epochs=self.step // self.clock.steps_per_epoch,
            steps=self.step,
            samples=self.loader.samples(self.step),
            objective=row["objective"],
            train_loss=row["train_loss"],
            validation_loss=row.get("validation_loss"),
            gradient_norm=row["gradient_norm"],
            metrics=metrics,
            seconds={"setup": 0.0, "train": self.seconds},
            parameter_count=sum(p.numel() for p in model.parameters() if p.requires_grad),
            history=self.history,
            module=model,
        )

    @property
    def seconds(self) -> float:
        """Seconds spent training, those before a resume included."""
        since = 0.0 if self._started is None else time.perf_counter() - self._started
        return self._seconds + since

    def parameters(self) -> Mapping[str, Tensor]:
        """Return the current parameters by name."""
        return {name: values[0] for name, values in self.engine.parameters().items()}

    def is_finite(self) -> bool:
        """Say whether the objective and its gradient over all rows are finite now."""
        return not_finite(self._measure()) is None

    def capture(self) -> Capture:
        """Return copies of all that is needed to go on from here."""
        assert self.course is not None
        arrays = self.history.to_arrays()
        history = {f"history.{name}": torch.from_numpy(values) for name, values in arrays.items()}
        facts = {
            "step": self.step,
            "seconds": self.seconds,
            "course": asdict(self.course),
            "data": self._fingerprint,
            "engine": ENGINES.name_of(self.engine),
            "engine_reason": self.engine.reason,
        }
        return Capture(self.engine.state(0) | history, facts)

    def restore(self, capture: Capture) -> None:
        """Go back to what ``capture`` returned.

        Raises:
            UserError: it is of a run on other data.
            ValueError: it is of another model.
        """
        if capture.facts["data"] != self._fingerprint:
            raise UserError(
                "the data is not what the run was trained on: go on with the data as it was, or "
                "start a new run"
            )
        own = {k: v for k, v in capture.tensors.items() if not k.startswith("history.")}
        self.engine.load_state(0, own)
        self.engine.reason = capture.facts["engine_reason"]
        self.history.load_arrays(
            {
                name.removeprefix("history."): values.numpy()
                for name, values in capture.tensors.items()
                if name.startswith("history.")
            }
        )
        self.step, self._seconds = capture.facts["step"], capture.facts["seconds"]
        self.history.rewind(self.step)
        self.course = Course(**capture.facts["course"])
