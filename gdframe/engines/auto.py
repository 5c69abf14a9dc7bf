"""The choice of the engine with the shortest estimated time, set-up and compilation included."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from gdframe.data.dataset import Dataset
from gdframe.engines.base import CannotExecute, Engine, Problem, refuse_changes
from gdframe.engines.kernel_checks import KernelError
from gdframe.engines.nodes import NotElementwiseError
from gdframe.engines.probe import why_read_by_others
from gdframe.engines.row_order import check_loader
from gdframe.engines.thread_limit import one_thread_if_small, products_of
from gdframe.engines.verification import DifferenceError, runs_to_check
from gdframe.errors import UserError, first_line
from gdframe.loaders.base import Loader
from gdframe.registry import ENGINES
from gdframe.schedules.base import Clock, check_schedule


@ENGINES.register("auto")
def choose_engine(runs: Sequence[Problem], data: Dataset, loader: Loader, *, epochs: int) -> Engine:
    """Return the engine that should execute the runs in the shortest time.

    Args:
        runs: the problem of each run.
        data: what they train on.
        loader: which rows each step sees.
        epochs: the limit on epochs.

    Returns:
        The engine; its ``reason`` tells why it was chosen.
    """
    steps = epochs * loader.steps_per_epoch
    seconds: dict[str, float] = {}
    setups: dict[str, float] = {}
    refusals: dict[str, str] = {}
    tried: list[str] = []
    for name in ENGINES:
        kind = ENGINES.get(name)
        if not (isinstance(kind, type) and issubclass(kind, Engine)):
            continue
        try:
            reason = kind.why_not(runs, data, loader)
            estimate = kind.estimate(runs, data, loader) if reason is None else None
        except UserError:
            raise
        except Exception as error:  # of a user's component
            reason, estimate = failure(error), None
        if estimate is None:
            refusals[name] = str(reason)
            continue
        seconds[name] = estimate.setup + steps * estimate.step
        setups[name] = estimate.setup
    for name in sorted(seconds, key=seconds.__getitem__):
        try:
            engine = build_engine(name, runs, data, loader, epochs=epochs)
        except CannotExecute as error:
            refusals[name] = error.reason
            tried.append(name)
            continue
        if name == "eager":
            engine.reason = _why_eager(seconds, setups, refusals, tried)
        else:
            longer = seconds["eager"] / seconds[name]
            engine.reason = f"{engine.describe(loader)}; eager would take about {_times(longer)}"
        return engine
    raise AssertionError("eager executes anything")


def build_engine(
    name: str, runs: Sequence[Problem], data: Dataset, loader: Loader, *, epochs: int
) -> Engine:
    """Return an engine by name, after comparing it with the plain loop.

    Args:
        name: as registered; ``auto`` chooses an engine.
        runs: the problem of each run.
        data: what they train on.
        loader: which rows each step sees.
        epochs: the limit on epochs.

    Raises:
        CannotExecute: the engine cannot execute the runs, or computes another result.
        UserError: a component is wrong on any engine.
    """
    check_loader(loader, runs, epochs)
    clock = Clock(loader.steps_per_epoch, epochs)
    for run in {id(run.schedule): run for run in runs}.values():
        check_schedule(run.schedule, clock, run.components)
    kind = ENGINES.get(name)
    try:
        if _has_copies(kind) and (reason := why_read_by_others(runs, loader)) is not None:
            raise CannotExecute(name, reason)
        with one_thread_if_small(products_of(runs, data, loader.batch_size)):
            with _undisturbed(name, runs, ["model"]):  # a loss may learn when it first encodes
                engine: Engine = ENGINES.build(
                    name, runs=runs, data=data, loader=loader, epochs=epochs
                )
            if isinstance(kind, type):  # "auto" has already verified its choice
                with _undisturbed(name, runs, ["model", "loss", "penalty"]):
                    engine.verify()
    except UserError:
        raise
    except Exception as error:  # of a user's component, or of code generated from it
        if name in ("auto", "eager"):
            raise
        raise CannotExecute(name, failure(error)) from error
    return engine


def _undisturbed(
    name: str, runs: Sequence[Problem], components: Sequence[str]
) -> AbstractContextManager[None]:
    """Refuse an engine whose trial steps change what components keep, and restore that.

    Earlier checks try few values; a rule may keep something at others alone.

    Args:
        name: of the engine. ``auto`` surrounds each engine that it tries; eager tries nothing.
        runs: some of them are looked at.
        components: the components that may not change, besides the update rule.
    """
    watched: dict[str, Any] = {}
    trained: list[object] = []
    for index in runs_to_check(len(runs)) if name not in ("auto", "eager") else ():
        run, of_run = runs[index], f" of run {index}" if index else ""
        watched |= {f"{component}{of_run}": run.components[component] for component in components}
        watched[f"optimizer{of_run}"] = type(run.optimizer)
        trained += run.objective.model.parameters()
    reason = "a step changes {}, which it keeps outside its state"
    return refuse_changes(name, watched, reason, skip=trained)


def _has_copies(kind: object) -> bool:
    """Return whether a kind of engine trains copies of the module's parameters."""
    if not (isinstance(kind, type) and issubclass(kind, Engine)):
        return False
    return kind.copy_to_module is not Engine.copy_to_module


def failure(error: Exception) -> str:
    """Return the reason for not using an engine that raised."""
    if isinstance(error, (DifferenceError, KernelError, NotElementwiseError)):
        return str(error)
    return f"preparing it fails ({type(error).__name__}: {first_line(error)})"


def _why_eager(
    seconds: dict[str, float],
    setups: dict[str, float],
    refusals: dict[str, str],
    tried: Sequence[str],
) -> str:
    """Return the reason for choosing eager: the set-up time of others, or their refusals.

    Args:
        seconds: estimated time of each engine that may execute the runs.
        setups: the set-up's share of it.
        refusals: reason of each engine that cannot execute them.
        tried: engines that refused only when they were built.
    """
    slower = sorted((s, n) for n, s in seconds.items() if n not in ("eager", *tried))
    if slower:
        _, name = slower[0]
        setup, work = setups[name], seconds["eager"]
        reasons = [f"not {other}: {refusals[other]}" for other in tried]
        reasons.append(f"about {_time(work)} of work")
        return f"{'; '.join(reasons)}; {name} would spend {_time(setup)} on compiling first"
    if not refusals:
        return "the only engine there is"
    names_of: dict[str, list[str]] = {}
    for name, reason in refusals.items():
        names_of.setdefault(reason, []).append(name)
    return "; ".join(f"not {' or '.join(names)}: {reason}" for reason, names in names_of.items())


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{max(seconds, 0.1):.1f} s"


def _times(ratio: float) -> str:
    """Return a ratio in words, rounded to one or two digits."""
    if ratio < 1.5:
        return "as long, set-up included"
    if ratio < 10:
        return f"{ratio:.1f} times longer"
    return f"{float(f'{ratio:.1g}' if ratio >= 100 else f'{ratio:.2g}'):,.0f} times longer"
