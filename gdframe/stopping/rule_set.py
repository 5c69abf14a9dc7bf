"""The set of stopping rules of a run."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from gdframe.errors import UserError, in_words, typed_as
from gdframe.registry import METRICS, STOPPING, is_built_in
from gdframe.stopping.base import EpochEnd, Memory, Status, StoppingRule, Verdict, epochs_text
from gdframe.stopping.divergence import Divergence
from gdframe.stopping.gradient_norm import GradientNorm
from gdframe.stopping.improvement import Improvement
from gdframe.stopping.objective_target import ObjectiveTarget
from gdframe.stopping.time_limit import TimeLimit

if TYPE_CHECKING:
    from gdframe.hidden_state import Guard  # imports torch, without which the command line starts


class RuleError(Exception):
    """A stopping rule that fails; the message names it."""


class Stopping:
    """The rules that end a run, besides its limit on epochs.

    Args:
        tolerance: smallest decrease that counts as an improvement, relative to the best objective;
            None (null in a config) never ends a run for lack of improvement.
        patience: number of epochs in a row without improvement after which the run has converged,
            at least 1.
        gradient_tolerance: largest gradient norm over all rows at which the run has converged;
            None (null in a config) never ends a run for that.
        target: objective at which the run ends.
        time_limit: training time in seconds after which the run ends.
        divergence_factor: ratio of objective and start above which the run has diverged.
        rules: further rules, such as ``Early()``. A rule replaces the one of its class. Settings
            that it leaves at their defaults are taken from the arguments above.

    Raises:
        UserError: a value is out of its range, or a rule is not a StoppingRule.
    """

    def __init__(
        self,
        *,
        tolerance: float | None = 1e-6,
        patience: int = 5,
        gradient_tolerance: float | None = 1e-10,
        target: float | None = None,
        time_limit: float | None = None,
        divergence_factor: float = 1e6,
        rules: Sequence[Any] = (),
    ) -> None:
        for rule in rules:
            if not isinstance(rule, StoppingRule):
                name = rule.__name__ if isinstance(rule, type) else type(rule).__name__
                raise UserError(
                    f"stopping rule was given as {name}: expected a gdframe.StoppingRule, such as "
                    "gdframe.Early()"
                )
        defaults: list[StoppingRule] = []
        with typed_as({"factor": "divergence_factor"}):
            defaults.append(Divergence(factor=divergence_factor))
        defaults.append(ObjectiveTarget(target=target))
        with typed_as({"tolerance": "gradient_tolerance"}):
            defaults.append(GradientNorm(tolerance=gradient_tolerance))
        defaults.append(Improvement(tolerance=tolerance, patience=patience))
        with typed_as({"seconds": "time_limit"}):
            defaults.append(TimeLimit(seconds=time_limit))
        by_class = {type(rule): rule for rule in defaults}
        replaced = {type(rule) for rule in rules}
        active = [rule for rule in defaults if type(rule) not in replaced]
        active += [_merged(rule, by_class.get(type(rule))) for rule in rules]
        self.rules = {STOPPING.name_of(rule): rule for rule in active}

    @property
    def target(self) -> float | None:
        """The objective at which the run ends, or None."""
        rule = self.rules.get("objective")
        return rule.target if isinstance(rule, ObjectiveTarget) else None

    @property
    def least_decrease(self) -> float:
        """The relative decrease in an epoch below which a run converges.

        It is that of the default rule where a run never converges.
        """
        default, rule = Improvement(), self.rules.get("improvement")
        if not isinstance(rule, Improvement) or not rule.tolerance:
            rule = default
        return (rule.tolerance or 0.0) / rule.patience

    @property
    def is_built_in(self) -> bool:
        """Return whether all rules are built in."""
        return all(map(is_built_in, self.rules.values()))

    @property
    def columns(self) -> list[str]:
        """Columns of the history that the rules need and that not every run has."""
        return [column for rule in self.rules.values() for column in rule.columns]

    @property
    def reads_metrics(self) -> bool:
        """Return whether a rule may read any column of the history."""
        return bool(self.columns) or not self.is_built_in

    def check(self, columns: Collection[str], task: str) -> None:
        """Check that a history has the columns that the rules need.

        Args:
            columns: of the history.
            task: of the data.

        Raises:
            UserError: a column is missing.
        """
        for name, rule in self.rules.items():
            for column in rule.columns:
                if column not in columns:
                    words = column.replace("_", " ").replace("/", " ")
                    raise UserError(
                        f"stopping={name} needs the {words}: {_remedy(column, columns, task)}"
                    )

    def follow(
        self,
        memories: dict[str, Memory],
        end: EpochEnd,
        guard: Guard | None = None,
        names: Collection[str] | None = None,
    ) -> Iterator[str]:
        """Update the memories of rules; yield names of rules whose run is the best so far.

        Args:
            memories: of the run, by rule.
            end: of an epoch.
            guard: surrounds the calls of the rules, if any.
            names: of the rules; by default all.

        Raises:
            RuleError: a rule raised.
        """
        for name in self.rules if names is None else names:
            rule = self.rules[name]
            if _call(guard, name, rule, "follow", memories.setdefault(name, {}), end):
                yield name

    def judge(
        self, memories: dict[str, Memory], end: EpochEnd, guard: Guard | None = None
    ) -> tuple[Verdict | None, str | None]:
        """Return the verdict of the first rule that ends a run at an epoch's end, and its name.

        Both are None if the run continues. The name is None at the limit on epochs. A rule that
        has not followed the run yet does not judge it.

        Raises:
            RuleError: a rule raised, or returned something else than a verdict.
        """
        for name in [name for name in self.rules if name in memories]:
            verdict = _call(guard, name, self.rules[name], "judge", memories[name], end)
            if verdict is not None:
                return _verdict(name, verdict), name
        if end.epoch >= end.epochs:
            limit = f"reached the limit of {epochs_text(end.epochs)}"
            return Verdict(Status.MAX_EPOCHS, limit), None
        return None, None

    def judge_time(self, seconds: float, guard: Guard | None = None) -> Verdict | None:
        """Return the first verdict on the training time, or None.

        Raises:
            RuleError: a rule raised, or returned something else than a verdict.
        """
        for name, rule in self.rules.items():
            if type(rule).judge_time is StoppingRule.judge_time:
                continue
            verdict = _call(guard, name, rule, "judge_time", seconds)
            if verdict is not None:
                return _verdict(name, verdict)
        return None


def _merged(rule: StoppingRule, default: StoppingRule | None) -> StoppingRule:
    """Return a copy of a rule; a setting that has its default takes the value of ``default``."""
    if default is None:
        return rule
    plain, merged = vars(type(default)()), copy.copy(rule)
    vars(merged).update(
        (name, value)
        for name, value in vars(default).items()
        if value != plain[name] == vars(rule)[name]
    )
    return merged


def _call(guard: Guard | None, name: str, rule: StoppingRule, event: str, *arguments: Any) -> Any:
    """Return what a rule returns.

    Raises:
        RuleError: the rule raised.
    """
    with guard.around(f"stopping rule {name}", rule) if guard else nullcontext():
        try:
            result = getattr(rule, event)(*arguments)
        except Exception as error:
            raise RuleError(
                f"stopping rule {name} raised {type(error).__name__} in {event}: {error}"
            ) from error
    if event in ("follow", "judge") and not is_built_in(rule):
        _check_memory(name, arguments[0])
    return result


def _check_memory(name: str, memory: Memory) -> None:
    """Make all that a rule keeps Python numbers, as checkpoints hold it.

    Raises:
        RuleError: a value is no number.
    """
    values: dict[str, Any] = dict(memory)
    for key, value in values.items():
        is_scalar = type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()
        number = value.item() if is_scalar else value
        if isinstance(number, (int, float)):
            memory[key] = float(number) if isinstance(number, bool) else number
            continue
        del memory[key]  # no checkpoint could hold it
        raise RuleError(
            f"stopping rule {name} keeps a {type(value).__name__} in memory['{key}']: expected a "
            "number, which a checkpoint can hold"
        )


def _verdict(name: str, verdict: Any) -> Verdict:
    """Return a verdict.

    Raises:
        RuleError: it is something else.
    """
    if isinstance(verdict, Verdict):
        return verdict
    raise RuleError(
        f"stopping rule {name} returned a {type(verdict).__name__}: expected a gdframe.Verdict, "
        "or None to continue"
    )


def _remedy(column: str, columns: Collection[str], task: str) -> str:
    """Return what to do about a column that a run does not measure."""
    if column.startswith("validation") and "validation_loss" not in columns:
        return "the run has no validation rows; set data.validation=0.2"
    part, _, name = column.rpartition("/")
    measured = [other.rpartition("/")[2] for other in columns if other.startswith(f"{part}/")]
    of = getattr(METRICS.get(name), "task", None) if name in METRICS else None
    if of not in (None, task):
        return f"{name} is for {of}, and the data are for {task}; choose from {in_words(measured)}"
    return f"the run does not measure it; add metric=[{','.join([*measured, name])}]"
