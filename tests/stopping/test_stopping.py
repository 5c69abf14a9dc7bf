"""Each stopping rule by itself."""

from __future__ import annotations

import pytest

import gdframe as gd
from gdframe.stopping import EpochEnd, Status


def end_of(objective, *, start=1.0, noisy=True, epoch=1, **columns):
    row = {"epoch": epoch, "objective": objective, "gradient_norm": 1.0, **columns}
    return gd.EpochEnd(row, {"objective": start, "gradient_norm": 1.0}, 10, 0.1, noisy)


def follow(rule, values, *, noisy):
    memory = {}
    for epoch, value in enumerate(values):
        rule.follow(memory, end_of(value, noisy=noisy, epoch=epoch))
    return memory


def test_small_improvements_do_not_count_and_large_improvements_reset_the_count():
    rule = gd.Improvement(tolerance=0.01, patience=3)
    assert follow(rule, [100, 99.5, 99.4, 99.3], noisy=True)["stale"] == 3
    assert follow(rule, [100, 99.5, 90.0, 89.9], noisy=True)["stale"] == 1


def test_small_improvements_that_add_up_count():
    rule = gd.Improvement(tolerance=0.01)
    assert follow(rule, [100, 99.4, 98.8], noisy=True)["stale"] == 0


def test_a_rising_objective_is_noise_with_batches_and_oscillation_without():
    rule = gd.Improvement(tolerance=0.01)
    assert follow(rule, [100, 110, 120], noisy=True)["stale"] == 2
    assert follow(rule, [100, 110, 120], noisy=False)["stale"] == 0


def test_a_run_with_a_rising_objective_has_not_converged():
    rule = gd.Improvement(patience=3)
    climbs = follow(rule, [100, 10, 20, 40, 80], noisy=True)
    assert climbs["stale"] == 3
    assert rule.judge(climbs, end_of(80.0, start=100)) is None
    hovers = follow(rule, [100, 10, 20, 15, 18], noisy=True)
    assert rule.judge(hovers, end_of(18.0, start=100)).status == Status.CONVERGED
    above = follow(rule, [100, 300, 200, 300], noisy=True)
    assert rule.judge(above, end_of(300.0, start=100)) is None


def test_a_run_that_starts_at_zero_never_diverges_by_factor():
    assert gd.Divergence().judge({}, end_of(5.0, start=0.0)) is None


def test_divergence_uses_the_absolute_value_of_the_start():
    verdict = gd.Divergence(factor=10).judge({}, end_of(21.0, start=-2.0))
    assert verdict is not None
    assert verdict.status == Status.DIVERGED


def test_null_switches_rules_off():
    stopping = gd.Stopping(tolerance=None, gradient_tolerance=None)
    memories = {"improvement": {"best": 1.0, "last": 1.0, "stale": 99, "rising": 0}}
    assert stopping.judge(memories, end_of(1.0, gradient_norm=0.0)) == (None, None)


def test_a_rule_replaces_the_default_rule_of_its_class():
    stopping = gd.Stopping(rules=[gd.Divergence(factor=2.0), gd.Early()])
    assert [*stopping.rules][-2:] == ["divergence", "early"]
    assert stopping.rules["divergence"].factor == 2.0


def test_a_value_that_is_not_a_rule_is_refused():
    with pytest.raises(gd.UserError, match="stopping rule was given as int"):
        gd.Stopping(rules=[3])


@pytest.mark.parametrize("patience", [1, 3])
def test_early_stops_after_its_patience_and_remembers_the_best_epoch(patience):
    rule = gd.Early(patience=patience)
    values, memory = [3.0, 2.0, 1.0, 1.5, 1.2, 1.1, 1.3], {}
    ended = None
    for epoch, value in enumerate(values):
        end = gd.EpochEnd({"epoch": epoch, "validation_loss": value}, {}, 10, 0.1, noisy=True)
        assert rule.follow(memory, end) == (epoch <= 2)
        verdict = rule.judge(memory, end)
        assert (verdict is None) == (epoch < 2 + patience)
        ended = ended or verdict
    assert ended.restores_best
    assert f"best at epoch 2 (1) and did not improve for {patience} epoch" in ended.reason


def test_early_knows_whether_a_metric_is_maximized():
    rule, memory = gd.Early(metric="r2", min_delta=0.1), {}
    best = [
        rule.follow(memory, gd.EpochEnd({"epoch": e, "validation/r2": v}, {}, 9, 0.1, noisy=True))
        for e, v in enumerate([0.1, 0.15, 0.3, 0.2])
    ]
    assert best == [True, False, True, False]


@pytest.mark.parametrize(
    "wrong",
    [
        {"tolerance": -1.0}, {"patience": 0}, {"gradient_tolerance": float("nan")},
        {"target": float("inf")}, {"time_limit": 0.0}, {"divergence_factor": 1.0},
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(gd.UserError, match=next(iter(wrong))):
        gd.Stopping(**wrong)


def test_null_for_every_run_holds_for_a_named_rule():
    rules = gd.Stopping(tolerance=None, rules=[gd.Improvement(patience=3)]).rules
    assert (rules["improvement"].tolerance, rules["improvement"].patience) == (None, 3)


def test_a_start_without_slope_ends_by_improvement():
    rule, memory = gd.Improvement(tolerance=1e-3, patience=1), {}
    row = {"epoch": 0, "objective": 1.0, "gradient_norm": 0.0}
    ends = [
        EpochEnd({**row, "epoch": epoch, "gradient_norm": norm}, row, 9, 0.1, noisy=False)
        for epoch, norm in enumerate((0.0, 1.0, 1.0))
    ]
    for end in ends:
        rule.follow(memory, end)
    assert rule.judge(memory, ends[-1]).status == Status.CONVERGED


def test_a_rule_may_ask_for_a_column_of_the_diagnosis():
    class Flat(gd.StoppingRule):
        columns = ("curvature/lambda_max",)

        def judge(self, memory, end):
            seen.append(end.row["curvature/lambda_max"])

    seen: list = []
    data = gd.Regression(rows=40, features=3).load()
    model = gd.Linear(3)
    gd.Trainer(
        model, gd.MSE(), gd.GD(model.parameters(), 0.1), gd.FullBatch(data.rows), data, epochs=2,
        stopping=[Flat()], diagnosis=gd.Diagnostics(curvature=True),
    ).fit()  # fmt: skip
    assert len(seen) >= 2
