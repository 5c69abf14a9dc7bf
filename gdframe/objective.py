"""The objective: model + loss + penalty over rows, its value and its gradient."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gdframe.data.dataset import Dataset, Rows, Task
from gdframe.errors import UserError
from gdframe.losses.base import Loss
from gdframe.models.function import Function
from gdframe.optimizers.base import global_norm
from gdframe.penalties.base import Penalty
from gdframe.penalties.none import NoPenalty

CHUNK = 1 << 16
"""Rows evaluated at a time, so that memory for activations is bounded."""


@dataclass(frozen=True)
class Evaluation:
    """The objective over a set of rows.

    Args:
        loss: mean loss over the rows.
        objective: loss + penalty.
        gradient_norms: Euclidean norm of the objective's gradient by parameter; empty where no
            gradient was asked for.
        metrics: by name: ``r2``, ``rmse`` and ``mae``, or ``accuracy``.
    """

    loss: float
    objective: float
    gradient_norms: dict[str, float]
    metrics: dict[str, float]

    @property
    def gradient_norm(self) -> float:
        """Norm of the whole gradient."""
        return math.hypot(*self.gradient_norms.values())


class Objective:
    """What is minimised: ``loss(model(x), y) + penalty(weights)``.

    Args:
        model: prediction from features, or a Function to minimise without data.
        loss: error of a prediction; None for a Function.
        penalty: of the parameters; by default none.

    Example:
        >>> from gdframe.losses import MSE
        >>> from gdframe.models import Linear
        >>> objective = Objective(Linear(1), MSE())
        >>> objective.batch_loss(torch.ones(2, 1), torch.tensor([[1.0], [3.0]])).item()
        5.0
    """

    def __init__(
        self, model: nn.Module, loss: Loss | None = None, penalty: Penalty | None = None
    ) -> None:
        if (loss is None) != isinstance(model, Function):
            raise ValueError("a Function takes no loss, and any other model needs one")
        self.model, self.loss, self.penalty = model, loss, penalty or NoPenalty()
        self.penalized = self.penalty.select(model)

    def batch_loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss over a batch, a 0-d tensor; ``targets`` as the loss encodes them."""
        if self.loss is None:
            value: Tensor = self.model()
            return value
        return self.loss(self.model(features), targets)

    def penalty_value(self) -> Tensor | float:
        """Return the penalty at the current parameters; 0.0 where nothing is penalised."""
        return self.penalty.value(self.penalized) if self.penalized else 0.0

    def check(self, data: Dataset) -> None:
        """Try the model on two rows.

        Raises:
            UserError: the loss is not for this data, or the model does not take its features or
                returns outputs of another shape than the loss needs.
        """
        if self.loss is None:
            return
        self.loss.check(data)
        features = data.train.features[:2]
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                outputs = self.model(features)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"the model does not take features of shape {tuple(features.shape)} and type "
                f"{features.dtype}: {reason}"
            ) from error
        finally:
            self.model.train(training)
        expected = (len(features), self.loss.outputs(data))
        if tuple(outputs.shape) != expected:
            raise UserError(
                f"the model returns outputs of shape {tuple(outputs.shape)} for {len(features)} "
                f"rows, and loss {self.loss.name} needs {expected}"
            )

    def encode(self, rows: Rows) -> Rows:
        """Return rows with their targets encoded for the loss."""
        if self.loss is None:
            return rows
        return Rows(rows.features, self.loss.encode(rows.targets, rows.features.dtype))

    def evaluate(self, rows: Rows, data: Dataset, *, gradient: bool) -> Evaluation:
        """Return the objective over ``rows`` (encoded), with the model in evaluation mode.

        The parameters' ``grad`` is left as it was found.
        """
        training = self.model.training
        self.model.eval()
        named = self.model.named_parameters()
        parameters = {name: parameter for name, parameter in named if parameter.requires_grad}
        sums = [torch.zeros_like(p) for p in parameters.values()]
        total = torch.zeros((), dtype=torch.float64, device=rows.targets.device)
        tally = Tally(data.task, rows)
        with torch.set_grad_enabled(gradient):
            for start in range(0, len(rows), CHUNK):
                features = rows.features[start : start + CHUNK]
                targets = rows.targets[start : start + CHUNK]
                share = len(targets) / len(rows)
                if self.loss is None:
                    value = self.model()
                else:
                    outputs = self.model(features)
                    value = self.loss(outputs, targets)
                    tally.add(self.loss.predict(outputs.detach()), targets)
                _accumulate(sums, share * value, parameters, gradient)
                total += share * value.detach()
            penalty = self.penalty_value()
            if isinstance(penalty, Tensor):
                _accumulate(sums, penalty, parameters, gradient)
        self.model.train(training)
        norms = torch.stack([global_norm([s]) for s in sums]).tolist() if gradient else []
        loss = float(total)
        return Evaluation(
            loss=loss,
            objective=loss + (penalty.item() if isinstance(penalty, Tensor) else penalty),
            gradient_norms=dict(zip(parameters, norms, strict=False)),
            metrics=tally.metrics(),
        )


def _accumulate(
    sums: list[Tensor], value: Tensor, parameters: Mapping[str, Tensor], gradient: bool
) -> None:
    """Add the gradient of ``value`` to ``sums``, in place."""
    if not gradient or not value.requires_grad:
        return
    grads = torch.autograd.grad(value, list(parameters.values()), allow_unused=True)
    for total, grad in zip(sums, grads, strict=True):
        if grad is not None:
            total += grad


class Tally:
    """Adds up, chunk by chunk, what the metrics of a task need.

    Args:
        task: of the data.
        rows: all that will be predicted, their targets encoded.
    """

    def __init__(self, task: Task, rows: Rows) -> None:
        self.task, self.rows = task, rows
        self.sums: list[Tensor] = []

    def add(self, predicted: Tensor, targets: Tensor) -> None:
        """Add a chunk of predictions and encoded targets."""
        if self.task == "classification":
            # encoded targets are class indices, or -1 and 1 in a column
            label = targets if targets.ndim == 1 else (targets[:, 0] > 0).long()
            chunk = [(predicted == label).sum()]
        else:
            error = predicted.double() - targets
            chunk = [(error**2).sum(), error.abs().sum()]
        self.sums = [a + b for a, b in zip(self.sums, chunk, strict=True)] if self.sums else chunk

    def metrics(self) -> dict[str, float]:
        """Return the metrics of all chunks; ``r2`` is NaN where the targets do not vary."""
        if not self.sums:
            return {}
        if self.task == "classification":
            return {"accuracy": float(self.sums[0]) / len(self.rows)}
        squared, absolute = (float(total) for total in self.sums)
        count, variation = self.rows.targets.numel(), self.rows.variation
        return {
            "r2": 1 - squared / variation if variation > 0 else math.nan,
            "rmse": math.sqrt(squared / count),
            "mae": absolute / count,
        }
