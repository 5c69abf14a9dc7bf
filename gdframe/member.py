"""One run on an engine that may train others too: judged, watched, and gathered into a result."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gdframe.data.dataset import Dataset
from gdframe.diagnosis import Diagnosis, Guarded
from gdframe.engines.base import CannotExecute, Engine, Run
from gdframe.engines.eager import Eager
from gdframe.errors import UserError
from gdframe.history import History
from gdframe.loaders.base import Loader
from gdframe.losses.base import Loss
from gdframe.measurement import Measurement, not_finite
from gdframe.objective import Objective
from gdframe.observers.base import Observer
from gdframe.parts import check_fit, check_parts
from gdframe.penalties.base import Penalty
from gdframe.recovery import Recovery
from gdframe.registry import ENGINES, LOSSES, MODELS, OPTIMIZERS
from gdframe.result import Result
from gdframe.schedules import Clock, Constant, Schedule
from gdframe.share import Share
from gdframe.stopping import Course, Status, Stopping, Verdict, diverged
from gdframe.storage import Capture
from gdframe.watching import is_own, watching


class Member:
    """A run of a batch.

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
        observers: who watches.
        max_points: most steps the history keeps.
        diagnosis: what looks into the run; by default nothing.

    Raises:
        UserError: parts that do not fit each other.
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
        observers: Sequence[Observer] = (),
        max_points: int = 1000,
        diagnosis: Diagnosis | None = None,
    ) -> None:
        check_parts(
            model=model, loss=loss, optimizer=optimizer, loader=loader, data=data, penalty=penalty,
            schedule=schedule, stopping=stopping, epochs=epochs, seed=seed,
        )  # fmt: skip
        for observer in observers:
            check_parts(observer=observer)
        if epochs < 1:
            raise UserError(f"epochs={epochs}: must be at least 1")
        if max_points < 1:
            raise UserError(f"logging.max_points={max_points}: must be at least 1")
        if loader.rows != data.rows:
            raise UserError(f"the loader is for {loader.rows} rows, and the data has {data.rows}")
        check_fit(model, optimizer, data)
        self.objective = Objective(model, loss, penalty)
        self.objective.check(data, smallest=loader.rows % loader.batch_size or loader.batch_size)
        self.run = Run(self.objective, optimizer, schedule or Constant(), int(seed))
        self.diagnosis = Guarded(diagnosis or Diagnosis())
        self.diagnosis.begin(self.run, data, loader)
        self.lr = float(optimizer.param_groups[0]["lr"])
        self.data, self.loader, self.epochs = data, loader, epochs
        self.clock = Clock(loader.steps_per_epoch, epochs)
        self.stopping = stopping or Stopping()
        self.observers = list(observers)
        self.history = History(max_points=max_points, total_steps=epochs * loader.steps_per_epoch)
        self.step = 0
        self.course: Course | None = None
        self.recovery: Recovery | None = None
        self._seconds = 0.0
        self._share: Share | None = None
        self._observed: dict[str, Tensor] = {}

    def sit(self, measurement: Measurement, index: int) -> None:
        """Take a place on an engine.

        Args:
            measurement: of the engine.
            index: which of its runs this one is.
        """
        self.engine: Engine = measurement.engine
        self.index, self._measurement = index, measurement

    def begin(self, share: Share) -> Verdict | None:
        """Measure the start, or what a resumed run has yet to measure; tell the observers."""
        self._share = share
        if self.recovery is not None:  # it began before, among others
            return self._catch_up()
        self.engine_name, self.engine_reason = ENGINES.name_of(self.engine), self.engine.reason
        verdict = None
        if self.course is None:
            row = self._measure()
            self._add(row)
            start = row["objective"]
            self.course = Course(start=start, slope=row["gradient_norm"], best=start, last=start)
            if bad := not_finite(row):
                verdict = diverged(*bad, step=0, lr=self.lr, parameter=None)
        self.recovery = Recovery(self.step, self.engine.state(self.index))
        for observer in self.observers:
            with watching(observer, self.run):
                observer.load_state(self._observed)
        self._tell(lambda observer: observer.on_start(self))
        return verdict or self._catch_up()

    def _catch_up(self) -> Verdict | None:
        at_an_end = self.step % self.clock.steps_per_epoch == 0
        if at_an_end and self.history.last["step"] != self.step:
            return self.end_epoch()  # it stopped before the epoch was evaluated
        return self._judge()

    def take(
        self, loss: NDArray[np.floating[Any]], norm: NDArray[np.floating[Any]], finite: int
    ) -> Verdict | None:
        """Take note of a block of steps, (steps,) each, of which ``finite`` came before a bad one.

        The run has diverged if that is not all of them.
        """
        first, self.step = self.step, self.step + finite
        kept = self.history.add_steps(first, loss[:finite], norm[:finite])
        self._tell(lambda observer: observer.on_block(self, kept))
        if finite == len(loss):
            return None
        value, slope = loss[finite].item(), norm[finite].item()
        what = ("gradient norm", slope) if math.isfinite(value) else ("loss", value)
        return self._diverge(*what, step=self.step + 1)

    def end_epoch(self) -> Verdict | None:
        """Measure an epoch's end, and judge it."""
        row = self._measure(whole=False)
        if bad := not_finite(row):
            return self._diverge(*bad, step=self.step)
        assert self.course is not None
        self._add(row)
        self.stopping.follow(self.course, row["objective"], noisy=self.clock.steps_per_epoch > 1)
        self._tell(lambda observer: observer.on_epoch(self))
        return self._judge()

    def _tell(self, event: Callable[[Observer], None]) -> None:
        """Tell each observer of an event, once what it may read is what the run has come to."""
        if not all(is_own(observer) for observer in self.observers):
            self.engine.settle(self.index)
        for observer in self.observers:
            with watching(observer, self.run):
                event(observer)

    def out_of_time(self) -> Verdict | None:
        """Judge the time the run has trained for."""
        return self.stopping.out_of_time(self.seconds)

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
        assert self.recovery is not None
        if len(self.engine.runs) > 1:  # the others go on without it
            self.engine.retire(self.index)
            self.sit(Measurement(self.engine.alone(self.index)), 0)
        updates = self.step
        self._replay(updates)
        broken = [name for name, p in self.parameters().items() if not p.isfinite().all()]
        while not self.is_finite() and self.step == updates:
            updates -= 1
            self._replay(updates)
        parameter = broken[0] if broken else None
        return diverged(what, value, step=step, lr=self.lr, parameter=parameter)

    def _replay(self, step: int) -> None:
        assert self.recovery is not None
        self.step = self.recovery.replay(self.engine, self.index, step)
        self._measurement.forget()

    def finish(self, verdict: Verdict) -> Result:
        """End the run; return its result."""
        row = self.history.last
        if row["step"] != self.step or not self.engine.measures_all:
            row = self._measure()
        result = self._result(self.diagnosis.explain(verdict, self.history, self.parameters()), row)
        self._tell(lambda observer: observer.on_end(self, result))
        return result

    def failed(self, error: Exception) -> Result | None:
        """Return the result of a run that raised, from what it had measured; None if it cannot."""
        if not len(self.history):
            return None
        verdict = Verdict(Status.FAILED, f"{type(error).__name__}: {error}")
        try:
            return self._result(verdict, self.history.last)
        except Exception:  # what broke the run breaks this too
            return None

    def separate(self, engine: Engine) -> Engine:
        """Return an engine of the same kind for this run alone, at the step it has taken note of.

        Args:
            engine: which trained it among others, and may be in any state.
        """
        try:
            own = type(engine)([self.run], self.data, self.loader, epochs=self.epochs)
        except CannotExecute:  # one run alone is another thing to compile
            own = Eager([self.run], self.data, self.loader, epochs=self.epochs)
        own.reason = engine.reason
        if self.recovery is not None:
            self.recovery.replay(own, 0, self.step)
            own.settle(0)  # it begins from what its module holds
        return own

    def pause(self) -> None:
        """Stop the watch."""
        self._seconds, self._share = self.seconds, None

    def close(self) -> None:
        """Stop the watch, and close the observers."""
        self.pause()
        self.recovery = None
        for observer in self.observers:
            with watching(observer, self.run):
                observer.close()

    def _measure(self, *, whole: bool = True) -> dict[str, float]:
        """Return a row of the history, measured at the current parameters."""
        return self._measurement.row(self.index, self.step, self.seconds, whole=whole)

    def _add(self, row: dict[str, float]) -> None:
        """Add a row to the history, with what the diagnosis measures."""
        self.history.add_epoch(row | self.diagnosis.columns(row, self.parameters()))

    def _result(self, verdict: Verdict, row: Mapping[str, float]) -> Result:
        """Gather the result of the run; ``row`` measures where it ended."""
        self.engine.settle(self.index)
        model, loss = self.objective.model, self.objective.loss
        metrics: dict[str, dict[str, float]] = {"train": {}, "validation": {}}
        for name, value in row.items():
            part, _, metric = name.partition("/")
            if part in metrics:
                metrics[part][metric] = value
        return Result(
            status=verdict.status,
            reason=str(verdict),
            variant=self.loader.variant,
            engine=self.engine_name,
            engine_reason=self.engine_reason,
            model=MODELS.name_of(model),
            loss=None if loss is None else LOSSES.name_of(loss),
            optimizer=OPTIMIZERS.name_of(self.run.optimizer),
            lr=self.lr,
            seed=self.run.seed,
            epochs=self.step // self.clock.steps_per_epoch,
            steps=self.step,
            samples=self.loader.samples(self.step),
            gradient_evaluations=self.step,
            objective=row["objective"],
            train_loss=row["train_loss"],
            validation_loss=row.get("validation_loss"),
            gradient_norm=row["gradient_norm"],
            metrics=metrics,
            seconds={"setup": 0.0, "train": self.seconds},
            parameter_count=sum(p.numel() for p in model.parameters() if p.requires_grad),
            diagnostics=self.diagnosis.facts(),
            point=next(model.parameters()).detach().tolist() if loss is None else None,
            target=self.stopping.target,
            data_digest=self.data.digest,
            history=self.history,
            module=model,
        )

    @property
    def seconds(self) -> float:
        """Seconds spent training: its share where others train with it; before a resume too."""
        return self._seconds + (0.0 if self._share is None else self._share.seconds)

    def parameters(self) -> Mapping[str, Tensor]:
        """Return the current parameters by name."""
        return self.engine.parameters(self.index)

    def is_finite(self) -> bool:
        """Say whether the objective and its gradient over all rows are finite now."""
        return not_finite(self._measure()) is None

    def capture(self) -> Capture:
        """Return copies of all that is needed to go on from here; observers are flushed before."""
        for observer in self.observers:
            observer.flush()
        assert self.course is not None
        arrays = self.history.to_arrays()
        history = {f"history.{name}": torch.from_numpy(values) for name, values in arrays.items()}
        facts = {
            "step": self.step,
            "seconds": self.seconds,
            "course": asdict(self.course),
            "data": self.data.digest,
            "engine": self.engine_name,
            "engine_reason": self.engine_reason,
        }
        seen = {f"diagnosis.{name}": value for name, value in self.diagnosis.state().items()}
        for observer in self.observers if self.step != self.history.last["step"] else ():
            seen |= {f"observer.{name}": value for name, value in observer.state().items()}
        return Capture(self.engine.state(self.index) | history | seen, facts)

    def restore(self, capture: Capture) -> None:
        """Go back to what ``capture`` returned.

        Raises:
            UserError: it is of a run on other data.
            ValueError: it is of another model.
        """
        if capture.facts["data"] != self.data.digest:
            raise UserError(
                "the data is not what the run was trained on: go on with the data as it was, or "
                "start a new run"
            )
        parts: dict[str, dict[str, Tensor]] = {"history": {}, "diagnosis": {}, "observer": {}}
        own = {}
        for name, values in capture.tensors.items():
            part, _, rest = name.partition(".")
            if part in parts:
                parts[part][rest] = values
            else:
                own[name] = values
        self.engine.load_state(self.index, own)
        self.engine.settle(self.index)  # the run begins from what its module holds
        self.diagnosis.load_state(parts["diagnosis"])
        self._observed = parts["observer"]
        self.engine.reason = capture.facts["engine_reason"]
        self.history.load_arrays({name: v.numpy() for name, v in parts["history"].items()})
        self.step, self._seconds = capture.facts["step"], capture.facts["seconds"]
        self.history.rewind(self.step)
        self.course = Course(**capture.facts["course"])
