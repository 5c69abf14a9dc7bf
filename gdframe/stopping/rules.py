"""The stopping rules of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gdframe.errors import UserError
from gdframe.registry import STOPPING
from gdframe.stopping.base import EpochEnd, Memory, Status, StoppingRule, Verdict, epochs_text
from gdframe.stopping.divergence import Divergence
from gdframe.stopping.gradient_norm import GradientNorm
from gdframe.stopping.improvement import Improvement
from gdframe.stopping.objective_target import ObjectiveTarget
from gdframe.stopping.time_limit import TimeLimit


class Stopping:
    """The rules that end a run, besides its limit on epochs.

    Args:
        tolerance: an epoch improves if it lowers the best objective by more than this share of it;
            null never stops for lack of improvement.
        patience: epochs without improvement after which the run has converged, at least 1.
        gradient_tolerance: the run has converged when the gradient's norm over all rows is at most
            this; null never stops for that.
        target: the run ends when the objective is at most this.
        time_limit: seconds of training after which the run ends.
        divergence_factor: the run has diverged when the objective is beyond this many times its
            start.
        rules: further rules, such as ``Early()``; one of the class of a rule above replaces it.

    Raises:
        UserError: a value out of its range, or a rule that is no StoppingRule.
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
        rules: Sequence[StoppingRule] = (),
    ) -> None:
        for rule in rules:
            if not isinstance(rule, StoppingRule):
                raise UserError(
                    f"stopping rule was given as {type(rule).__name__}: expected a "
                    "gdframe.StoppingRule"
                )
        own: list[StoppingRule] = [
            Divergence(factor=divergence_factor),
            ObjectiveTarget(target=target),
            GradientNorm(tolerance=gradient_tolerance),
            Improvement(tolerance=tolerance, patience=patience),
            TimeLimit(seconds=time_limit),
        ]
        replaced = {type(rule) for rule in rules}
        chosen = [rule for rule in own if type(rule) not in replaced] + list(rules)
        self.rules = {STOPPING.name_of(rule): rule for rule in chosen}

    @property
    def target(self) -> float | None:
        """The objective that the run is to reach; None without one."""
        rule = self.rules.get("objective")
        return rule.target if isinstance(rule, ObjectiveTarget) else None

    @property
    def columns(self) -> list[str]:
        """Columns of the history that rules read besides those that every run has."""
        return [column for rule in self.rules.values() for column in rule.columns]

    def check(self, row: Mapping[str, float]) -> None:
        """Check that a history has the columns that the rules read.

        Raises:
            UserError: names the first that is missing.
        """
        for name, rule in self.rules.items():
            for column in rule.columns:
                if column not in row:
                    words = column.replace("_", " ").replace("/", " ")
                    raise UserError(
                        f"stopping rule {name} needs the {words}, which this run does not measure: "
                        "keep rows for validation (data.validation=0.2), and name the metric "
                        "(metric=[NAME])"
                    )

    def follow(self, memories: dict[str, Memory], end: EpochEnd) -> Iterator[str]:
        """Update the memories of all rules; yield the names of those whose run is at its best."""
        for name, rule in self.rules.items():
            if rule.follow(memories.setdefault(name, {}), end):
                yield name

    def judge(
        self, memories: dict[str, Memory], end: EpochEnd
    ) -> tuple[Verdict | None, str | None]:
        """Judge a run at the end of an epoch.

        Returns:
            The verdict of the first rule that ends it, and the rule's name; None and None if the
            run continues.
        """
        for name, rule in self.rules.items():
            verdict = rule.judge(memories.setdefault(name, {}), end)
            if verdict is not None:
                return verdict, name
        if end.epoch >= end.epochs:
            limit = f"reached the limit of {epochs_text(end.epochs)}"
            return Verdict(Status.MAX_EPOCHS, limit), None
        return None, None

    def judge_time(self, seconds: float) -> Verdict | None:
        """Judge the time a run has trained for."""
        verdicts = (rule.judge_time(seconds) for rule in self.rules.values())
        return next((verdict for verdict in verdicts if verdict), None)
