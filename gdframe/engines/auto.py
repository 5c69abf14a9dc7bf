"""Chooses the engine that should end soonest, set-up and compilation counted in."""

from __future__ import annotations

from collections.abc import Sequence

from gdframe.data.dataset import Dataset
from gdframe.engines.base import CannotExecute, Engine, Run
from gdframe.loaders.base import Loader
from gdframe.registry import ENGINES


@ENGINES.register("auto")
def choose_engine(runs: Sequence[Run], data: Dataset, loader: Loader, *, epochs: int) -> Engine:
    """Take the fastest engine that can execute the runs, up to their limit of epochs.

    Args:
        runs: one for each run.
        data: what they train on.
        loader: which rows each update sees.
        epochs: the limit on epochs.

    Returns:
        The engine; its ``reason`` says why it was taken.
    """
    steps = epochs * loader.steps_per_epoch
    seconds: dict[str, float] = {}
    setups: dict[str, float] = {}
    refusals: dict[str, str] = {}
    for name in ENGINES:
        engine = ENGINES.get(name)
        if not (isinstance(engine, type) and issubclass(engine, Engine)):
            continue
        reason = engine.why_not(runs, data, loader)
        if reason is not None:
            refusals[name] = reason
            continue
        estimate = engine.estimate(runs, data, loader)
        seconds[name] = estimate.setup + steps * estimate.step
        setups[name] = estimate.setup
    for name in sorted(seconds, key=seconds.__getitem__):
        try:
            engine = ENGINES.build(name, runs=runs, data=data, loader=loader, epochs=epochs)
        except CannotExecute as error:
            refusals[name] = error.reason
            continue
        if name == "eager":
            engine.reason = _why_eager(seconds, setups, refusals)
        else:
            longer = seconds["eager"] / seconds[name]
            engine.reason = f"{engine.describe(loader)}; eager would take about {_times(longer)}"
        return engine  # type: ignore[no-any-return]
    raise AssertionError("eager executes anything")


def _why_eager(
    seconds: dict[str, float], setups: dict[str, float], refusals: dict[str, str]
) -> str:
    """Say what keeps the engine that comes next from being faster."""
    slower = sorted((s, name) for name, s in seconds.items() if name != "eager")
    if slower:
        _, name = slower[0]
        setup, work = setups[name], seconds["eager"]
        return f"about {_time(work)} of work; {name} would spend {_time(setup)} on compiling first"
    if not refusals:
        return "the only engine there is"
    return "; ".join(f"not {name}: {reason}" for name, reason in refusals.items())


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{max(seconds, 0.1):.1f} s"


def _times(ratio: float) -> str:
    """Write a rough ratio with one or two digits that mean something."""
    if ratio < 1.5:
        return "as long, set-up included"
    if ratio < 10:
        return f"{ratio:.1f} times longer"
    return f"{float(f'{ratio:.1g}' if ratio >= 100 else f'{ratio:.2g}'):,.0f} times longer"
