"""The plain loop: the definition that every other engine is held to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from gdframe.data.dataset import Dataset, Rows
from gdframe.engines.base import Engine, Estimate, Run, Trace
from gdframe.loaders.base import Loader
from gdframe.optimizers.base import global_norm
from gdframe.randomness import Purpose, derive
from gdframe.registry import ENGINES

STEP_SECONDS, TENSOR_SECONDS, WORK_SECONDS = 200e-6, 40e-6, 0.5e-9
"""Of a step, on top of that for each parameter tensor, and for each product of a value and a row.

Measured on two cores of a server; only their ratios to other engines' matter.
"""


@ENGINES.register("eager")
class Eager(Engine):
    """Executes anything, one run after another, with PyTorch's autograd."""

    def __init__(self, runs: Sequence[Run], data: Dataset, loader: Loader, *, epochs: int) -> None:
        super().__init__(runs, data, loader, epochs=epochs)
        self._rates = [[g["lr"] for g in run.optimizer.param_groups] for run in self.runs]
        self._order: tuple[tuple[int, int], Tensor | None] | None = None

    @classmethod
    def estimate(cls, runs: Sequence[Run], data: Dataset, loader: Loader) -> Estimate:
        """A fixed cost for a step and its tensors, and what a pass over the rows' values takes."""
        parameters = list(runs[0].objective.model.parameters())
        work = loader.batch_size * max(1, sum(p.numel() for p in parameters))
        step = STEP_SECONDS + TENSOR_SECONDS * len(parameters) + WORK_SECONDS * work
        return Estimate(setup=0.0, step=step * len(runs))

    def advance(self, first: int, last: int) -> Trace:
        """Execute the steps run by run."""
        traces = [self._advance(index, first, last) for index in range(len(self.runs))]
        losses, norms = (torch.stack(values).cpu().numpy() for values in zip(*traces, strict=True))
        return Trace(losses, norms)

    def _advance(self, index: int, first: int, last: int) -> tuple[Tensor, Tensor]:
        run, rows = self.runs[index], self._part("train")
        objective, optimizer = run.objective, run.optimizer
        parameters = list(objective.model.parameters())
        if index in self.retired:
            unknown = parameters[0].detach().new_full((last - first,), torch.nan)
            return unknown, unknown
        epoch = first // self.clock.steps_per_epoch
        order = self._epoch_order(run.seed, epoch)
        factors = run.schedule(np.arange(first, last), self.clock)
        losses, norms = [], []
        objective.model.train()
        with _stateless_randomness(rows.targets.device) as reseed:
            for step, factor in zip(range(first, last), factors.tolist(), strict=True):
                batch = self._batch(rows, order, step - epoch * self.clock.steps_per_epoch)
                reseed(run.seed, step)
                for parameter in parameters:
                    parameter.grad = None
                loss = objective.batch_loss(batch.features, batch.targets)
                torch.autograd.backward(loss + objective.penalty_value())
                for group, lr in zip(optimizer.param_groups, self._rates[index], strict=True):
                    group["lr"] = lr * factor
                losses.append(loss.detach())
                norms.append(global_norm([p.grad for p in parameters if p.grad is not None]))
                optimizer.step()
        for group, lr in zip(optimizer.param_groups, self._rates[index], strict=True):
            group["lr"] = lr
        return torch.stack(losses), torch.stack(norms)

    def _epoch_order(self, seed: int, epoch: int) -> Tensor | None:
        """Return the order of an epoch's rows on the data's device, kept until the next one."""
        if self._order is None or self._order[0] != (seed, epoch):
            order = self.loader.order(epoch, seed)
            if order is not None:
                order = order.to(self.data.train.targets.device)
            self._order = ((seed, epoch), order)
        return self._order[1]

    def _batch(self, rows: Rows, order: Tensor | None, step: int) -> Rows:
        """Return the rows of an epoch's step."""
        size = self.loader.batch_size
        where = slice(step * size, (step + 1) * size)
        if order is None:
            return Rows(rows.features[where], rows.targets[where])
        picked = order[where]
        return Rows(rows.features.index_select(0, picked), rows.targets.index_select(0, picked))

    def state(self, run: int) -> dict[str, Tensor]:
        """Copy the module's and the optimizer's state."""
        model, optimizer = self.runs[run].objective.model, self.runs[run].optimizer
        state = {f"model.{k}": v.detach().clone() for k, v in model.state_dict().items()}
        for index, parameter in enumerate(_optimized(optimizer)):
            for key, value in optimizer.state.get(parameter, {}).items():
                if value is None:
                    continue
                name = f"optimizer.{index}.{key}"
                state[name] = torch.as_tensor(value).detach().clone()
        return state

    def load_state(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Copy the state into the module and the optimizer."""
        model, optimizer = self.runs[run].objective.model, self.runs[run].optimizer
        own = model.state_dict()
        given = {k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")}
        if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in given.items()}:
            raise ValueError(f"the state is of another model: {sorted(given)} for {sorted(own)}")
        model.load_state_dict(given)
        optimizer.state.clear()
        parameters = _optimized(optimizer)
        for name, value in state.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".", 2)
                parameter = parameters[int(index)]
                optimizer.state[parameter][key] = value.detach().clone().to(parameter.device)


def _optimized(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


@contextmanager
def _stateless_randomness(device: torch.device) -> Iterator[Callable[[int, int], None]]:
    """Make what a model draws a function of (seed, step); leave torch's own generators alone."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):

        def reseed(seed: int, step: int) -> None:
            state = derive(seed, Purpose.MODEL, step)
            torch.default_generator.manual_seed(state)
            if device.type == "cuda":
                torch.cuda.manual_seed(state)

        yield reseed
