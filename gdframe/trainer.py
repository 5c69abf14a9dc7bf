"""One run on an engine of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from gdframe.batch import Batch
from gdframe.data.dataset import Dataset
from gdframe.diagnosis import Diagnosis
from gdframe.engines.auto import build_engine
from gdframe.errors import UserError
from gdframe.interrupt import interruptible
from gdframe.loaders.base import Loader
from gdframe.losses.base import Loss
from gdframe.measurement import Measurement
from gdframe.member import Member
from gdframe.observers.base import Observer
from gdframe.penalties.base import Penalty
from gdframe.registry import ENGINES
from gdframe.result import Result
from gdframe.schedules import Schedule
from gdframe.stopping import Stopping


class Trainer(Member):
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
        seed: of the order of rows, and of what model and rule draw in steps. The model's starting
            values are drawn before: inside ``gdframe.seeded``, or by ``gdframe.initialize``.
        engine: how epochs are executed, by name.
        observers: who watches.
        max_points: most steps the history keeps.
        diagnosis: what looks into the run, such as ``Diagnostics``; by default nothing.

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
        diagnosis: Diagnosis | None = None,
    ) -> None:
        super().__init__(
            model, loss, optimizer, loader, data, penalty=penalty, schedule=schedule,
            stopping=stopping, epochs=epochs, seed=seed, observers=observers,
            max_points=max_points, diagnosis=diagnosis,
        )  # fmt: skip
        built = build_engine(engine, [self.run], data, loader, epochs=epochs)
        self.sit(Measurement(built), 0)

    def fit(self) -> Result:
        """Train until a rule ends the run; return how it ended and what it measured.

        A trainer that was restored goes on from there. Ctrl-C ends the run at the next block with
        the status ``interrupted``.
        """
        reason = type(self.engine).why_not([self.run], self.data, self.loader)
        if reason is not None:
            name = ENGINES.name_of(self.engine)
            raise UserError(
                f"the run was changed after its trainer was built, and engine={name} cannot "
                f"execute it any more: {reason}; build the trainer after the change"
            )
        results: list[Result] = []
        with interruptible() as signal_name:
            Batch([self], self.engine, ended=lambda _, result: results.append(result)).fit(
                signal_name
            )
        return results[0]
