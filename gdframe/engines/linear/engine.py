"""Linear models by compiled loops: per-sample steps at the speed of the processor's caches."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.data.rows import Rows
from gdframe.engines.base import Engine, Estimate, Part, Problem, Trace
from gdframe.engines.kernel_checks import check_kernels
from gdframe.engines.linear.block import MANY, Block, Sums, groups_of, penalizes_biases
from gdframe.engines.linear.pool import side_by_side
from gdframe.engines.linear.refusals import why_not_linear
from gdframe.engines.linear.specialize import LoopSpec, specialized
from gdframe.engines.problem_state import as_states, keep_state, starting_state
from gdframe.engines.recorded_rule import check_rates, rule_of
from gdframe.engines.row_order import depends_on_seed, row_order, takes_all_rows
from gdframe.engines.structure import why_not_together, why_step_not_update
from gdframe.engines.untrained_values import constants_of, trained_values
from gdframe.engines.verification import check_evaluations, check_steps, runs_to_check
from gdframe.loaders.base import Loader
from gdframe.metrics.tally import Tally
from gdframe.objective import Evaluation
from gdframe.registry import ENGINES, is_built_in
from gdframe.schedules.base import factors_of

FEW, MANY_ROWS = 32, 4096
"""Most rows of a step that is compared with the plain loop's; with a user's loss in it."""

LARGE = 1 << 20
"""Products of a value and a parameter in a step from which on its rows are cut into chunks."""

MOST_ORDERS = 64
"""Most orders of rows that are kept; others are drawn again when they are needed."""

SETUP_SECONDS, EPOCH_SECONDS, STEP_SECONDS, WORK_SECONDS = 0.3, 100e-6, 0.1e-6, 0.15e-9
"""Of importing the compiler and loading what it compiled; of a call; of a step; of its products."""


@ENGINES.register("linear")
class LinearLoops(Engine):
    """Executes models that are linear in their parameters, with every loss that has a kernel.

    All three variants go through one loop nest, written out for the loss, the penalty and the
    update rule and compiled by Numba. Runs that visit rows in one order are trained side by side.
    For any number of threads the result is the same, bit for bit.
    """

    runs_on_gpu = False

    def __init__(
        self, runs: Sequence[Problem], data: Dataset, loader: Loader, *, epochs: int
    ) -> None:
        super().__init__(runs, data, loader, epochs=epochs)
        objective = self.runs[0].objective
        self._rule = rule_of(self.runs)
        self._coupled = objective.loss is not None and objective.loss.coupled
        self._arrays = {part: self._arrays_of(rows) for part, rows in self.rows.items() if rows}
        self._x, self._y, self._stored_order = self._arrays["train"]
        self._blocks = [self._block(group) for group in groups_of(self.runs, loader)]
        self._place = {i: (b, at) for b, indices in self._blocks for at, i in enumerate(indices)}
        self._orders: dict[int, tuple[int, NDArray[np.int64]]] = {}
        work = loader.batch_size * self._x.shape[1] * self._blocks[0][0].bias.size
        self._whole = takes_all_rows(loader) and not loader.shuffle
        self._large = self._whole or work >= LARGE
        self._sums: dict[int, Sums] = {}

    def _arrays_of(self, rows: Rows) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
        """Return design, targets and order of rows for the loops, copied only if they must be."""
        model: Any = self.runs[0].objective.model
        with torch.no_grad(), self._constant_design(model):
            design = model.design(rows.features)
        y = np.ascontiguousarray(rows.targets.numpy().reshape(len(rows), -1))
        return np.ascontiguousarray(design.numpy()), y, np.arange(len(rows))

    def _block(self, indices: Sequence[int]) -> tuple[Block, Sequence[int]]:
        runs = [self.runs[i] for i in indices]
        objective = runs[0].objective
        assert objective.loss is not None and objective.loss.kernel is not None  # noqa: PT018
        penalty = objective.penalty.kernel if objective.penalized else None
        spec = LoopSpec(
            rule=self._rule,
            loss=objective.loss.kernel,
            penalty=penalty,
            coupled=self._coupled,
            weighted=objective.weighting is not None,
            biases=penalizes_biases(objective),
            dtype=str(self._x.dtype),
            outputs=int(objective.model.weight.shape[0] == 1),  # type: ignore[index]
            has_many_runs=len(runs) > 1,
            is_built_in=is_built_in(runs[0].optimizer),
        )
        return Block(runs, self._rule, specialized(spec)), indices

    def _compile(self) -> None:
        """Have everything compiled that training will call, by calling it on next to nothing."""
        order, which = self._stored_order, np.zeros(MANY, np.int64)
        for block in {len(block.runs) > 1: block for block, _ in self._blocks}.values():
            sums = block.sums(self._x, self._y, order, 0, 1)
            block.mean_gradient(sums, 1)
            if self._large:
                block.step(sums, 1, np.zeros(len(block.runs)))
                block.reset()
            else:
                size, none = self.loader.batch_size, np.empty((1, 0))
                block.steps(self._x, self._y, order[:0], 0, size, none, which)

    def only(self, runs: Sequence[int]) -> Engine:
        """Return an engine that continues with some of the runs, compiled already."""
        engine: Any = super().only(runs)
        engine._compile()
        for at, run in enumerate(runs):  # compiling ends with what the modules hold
            engine.load_state(at, self.state(run))
        return engine  # type: ignore[no-any-return]

    @classmethod
    def why_not(cls, runs: Sequence[Problem], data: Dataset, loader: Loader) -> str | None:
        """Linear models on the CPU, elementwise rules, and kernels of loss and penalty."""
        for run in runs:
            if reason := why_step_not_update(run):
                return reason
        reason = why_not_together(runs, losses_vary=True) or why_not_linear(runs, data, loader)
        if reason is not None:
            return reason
        if importlib.util.find_spec("numba") is None:
            return "Numba is not installed"
        return None

    @classmethod
    def estimate(cls, runs: Sequence[Problem], data: Dataset, loader: Loader) -> Estimate:
        """Return the time of a compiled loop."""
        parameters = sum(p.numel() for p in runs[0].objective.model.parameters())
        work = (2 * loader.batch_size + 4) * parameters
        step = STEP_SECONDS + WORK_SECONDS * work + EPOCH_SECONDS / loader.steps_per_epoch
        return Estimate(setup=SETUP_SECONDS, step=step * len(runs))

    @classmethod
    def describe(cls, loader: Loader) -> str:
        """Return which updates it executes, of what."""
        return f"{super().describe(loader)} of a linear model"

    def copy_from_modules(self) -> None:
        """Copy parameters and states from modules and optimizers again."""
        self._sums.clear()
        for block, _ in self._blocks:
            block.reset()

    @np.errstate(all="ignore")
    def verify(self) -> None:
        """Compare two steps on a few rows with the plain loop's."""
        check_rates(self._rule, self.runs, self.clock)
        rows = self._part("train")
        check_kernels(self.runs, rows, self.rows["validation"] and self._part("validation"))
        self._compile()
        most = FEW if is_built_in(self.runs[0].objective.loss) else MANY_ROWS
        size = min(self.loader.batch_size, len(rows), most)
        rest = len(rows) % self.loader.batch_size
        ends = [size * (i + 1) for i in range(min(2, len(rows) // size))]
        if 0 < rest < size and ends[-1] + rest <= len(rows):
            ends.append(ends[-1] + rest)  # as the last step of an epoch
        cuts = list(pairwise([0, *ends]))
        batches = [Rows(rows.features[a:b].clone(), rows.targets[a:b].clone()) for a, b in cuts]
        factors = np.array([[1.0, 0.5, 0.25][: len(cuts)]])
        for run in runs_to_check(len(self.runs)):
            block, at = self._place[run]
            lr = self.runs[run].optimizer.param_groups[0]["lr"]

            def execute(block: Block = block, at: int = at) -> Any:
                losses, norms = self._few_steps(block, cuts, factors)
                return losses[at].tolist(), norms[at].tolist()

            check_steps(self, run, batches, (factors[0] * lr).tolist(), execute)
        few = rows.take(slice(ends[-1]))
        check_evaluations(self, few, partial(self._evaluate_on, len(few)))

    def _evaluate_on(self, rows: int, runs: Sequence[int]) -> list[Evaluation]:
        """Return evaluations of some runs on the first rows, without metrics."""
        evaluations: dict[int, Evaluation] = {}
        for block, indices in self._blocks:
            if not evaluations.keys() >= set(indices) & set(runs):
                sums = block.sums(self._x, self._y, self._stored_order, 0, rows)
                values = block.evaluations(sums, self._terms(rows), gradient=True)
                evaluations.update(zip(indices, values, strict=True))
        return [evaluations[run] for run in runs]

    def _few_steps(
        self, block: Block, cuts: Sequence[tuple[int, int]], factors: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Execute steps on rows between ``cuts``, with schedules' factors (1, steps)."""
        if not self._large:
            order, size = self._stored_order[: cuts[-1][1]], cuts[0][1]
            which = np.zeros(len(block.runs), np.int64)
            return block.steps(self._x, self._y, order, 0, size, factors, which)
        traces = []
        for t, (begin, end) in enumerate(cuts):
            sums = block.sums(self._x, self._y, self._stored_order, begin, end)
            schedule = np.full(len(block.runs), factors[0, t])
            traces.append(block.step(sums, self._terms(end - begin), schedule))
        losses, norms = zip(*traces, strict=True)
        return np.concatenate(losses, axis=1), np.concatenate(norms, axis=1)

    @np.errstate(all="ignore")  # what is not finite is a result
    def advance(self, first: int, last: int) -> Trace:
        """Execute the steps block by block, side by side."""
        epoch = first // self.clock.steps_per_epoch
        offset = first - epoch * self.clock.steps_per_epoch
        traces: list[tuple[NDArray[Any], NDArray[Any]] | None] = [None] * len(self._blocks)

        def work(index: int) -> None:
            block = self._blocks[index][0]
            order = self._order(block.runs[0].seed, epoch)
            factors, which = factors_of([r.schedule for r in block.runs], first, last, self.clock)
            if self._large:
                traces[index] = self._large_steps(block, order, offset, factors[which])
            else:
                size = self.loader.batch_size
                traces[index] = block.steps(self._x, self._y, order, offset, size, factors, which)

        tasks = [partial(work, index) for index in range(len(self._blocks))]
        if self._large:  # threads share the rows of each block
            for task in tasks:
                task()
        else:
            side_by_side(tasks)
        return self._trace([pair for pair in traces if pair is not None])

    def _trace(self, traces: list[tuple[NDArray[Any], NDArray[Any]]]) -> Trace:
        """Put the traces of all blocks together; that of a single one is not copied."""
        if len(traces) == 1:
            return Trace(*traces[0])
        shape = (len(self.runs), traces[0][0].shape[1])
        trace = Trace(np.empty(shape, self._x.dtype), np.empty(shape, self._x.dtype))
        for (_, indices), (losses, norms) in zip(self._blocks, traces, strict=True):
            trace.loss[indices], trace.gradient_norm[indices] = losses, norms
        return trace

    def _large_steps(
        self, block: Block, order: NDArray[Any], offset: int, factors: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        size, traces = self.loader.batch_size, []
        for t in range(factors.shape[1]):
            begin = (offset + t) * size
            end = min(begin + size, len(order))
            sums = self._sums.pop(id(block), None)
            if sums is None:
                shuffles = depends_on_seed(self.loader)
                sums = block.sums(self._x, self._y, order, begin, end, scattered=shuffles)
            traces.append(block.step(sums, self._terms(end - begin), factors[:, t]))
        losses, norms = zip(*traces, strict=True)
        return np.concatenate(losses, axis=1), np.concatenate(norms, axis=1)

    def _terms(self, rows: int) -> int:
        """Return how many terms the loss of ``rows`` rows is the mean of."""
        return rows if self._coupled else rows * self._blocks[0][0].outputs

    def _order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Return the order of an epoch's rows, kept until the next one."""
        entry = self._orders.get(seed)
        if entry is None or entry[0] != epoch:
            order = row_order(self.loader, epoch, seed, self.runs)
            entry = (epoch, self._stored_order if order is None else order.numpy())
            if len(self._orders) >= MOST_ORDERS:
                self._orders.clear()
            self._orders[seed] = entry
        return entry[1]

    @np.errstate(all="ignore")
    def evaluate(self, part: Part, *, whole: bool = True) -> list[Evaluation]:
        """Sum over all rows in one pass; the next full-batch step takes the sum as its own."""
        rows = self._part(part)
        x, y, order = self._arrays[part]
        evaluations: dict[int, Evaluation] = {}
        for block, indices in self._blocks:
            tallies = [self.runs[i].tally(self.data, rows) for i in indices]
            watch = partial(_add_outputs, block, tallies, rows)
            sums = block.sums(x, y, order, 0, len(rows), watch)
            if part == "train" and self._whole:
                self._sums[id(block)] = sums
            values = block.evaluations(sums, self._terms(len(rows)), gradient=part == "train")
            for index, value, tally in zip(indices, values, tallies, strict=True):
                evaluations[index] = replace(value, metrics=tally.values())
        return [evaluations[i] for i in range(len(self.runs))]

    def copy_to_module(self, run: int) -> None:
        """Copy a run's parameters to its module, and its state to its optimizer."""
        block, at = self._place[run]
        problem, values = self.runs[run], block.model(at)
        with torch.no_grad():
            for name, parameter in problem.objective.model.named_parameters():
                parameter.copy_(values[name])
        states = [
            {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
            for arrays in block.optimizer_states(at)
        ]
        keep_state(problem, states)

    def parameters(self, run: int) -> dict[str, Tensor]:
        """Return a copy of a run's parameters."""
        if run in self.retired:  # the module holds what the run ended with
            return super().parameters(run)
        block, at = self._place[run]
        return block.model(at)

    def state(self, run: int) -> dict[str, Tensor]:
        """Copy parameters and the rule's state."""
        block, at = self._place[run]
        state = {f"model.{name}": value for name, value in block.model(at).items()}
        state |= constants_of(self.runs[run].objective.model)
        for index, values in enumerate(block.optimizer_states(at)):
            for name, value in values.items():
                state[f"optimizer.{index}.{name}"] = torch.from_numpy(np.array(value))
        return state

    def load_state(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Copy the state into the arrays; what the rule's state lacks is as at the start."""
        block, at = self._place[run]
        self._sums.clear()
        values = trained_values(self.runs[run].objective.model, state)
        model = {name: value.cpu() for name, value in values.items()}
        given, wanted = ({k: [*v.shape] for k, v in d.items()} for d in (model, block.model(at)))
        if given != wanted:
            raise ValueError(
                f"the state is of another model, with the shapes {given} instead of {wanted}"
            )
        block.load_model(at, model)
        initial = as_states(self.runs[run], starting_state(self.runs[run], model))
        stored = [
            {name: state.get(f"optimizer.{index}.{name}", value) for name, value in values.items()}
            for index, values in enumerate(initial)
        ]
        block.load_states(at, stored)


def _add_outputs(
    block: Block, tallies: Sequence[Tally], rows: Rows, start: int, responses: NDArray[Any]
) -> None:
    """Add a segment's outputs to the tallies of all runs."""
    targets = rows.targets[start : start + len(responses)]
    for at, tally in enumerate(tallies):
        tally.add(torch.from_numpy(block.of(responses, at)), targets)
