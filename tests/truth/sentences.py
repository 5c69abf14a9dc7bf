"""The check of each sentence: its pattern, and what it says compared with the reference."""

from __future__ import annotations

import numpy as np

from .reference import PRODUCT
from .trained import part_accuracy

N = r"([-+\d.,e]*\d(?:e[-+]?\d+)?)"
"""A number in a sentence."""


def number(text: str) -> float:
    return float(text.replace(",", ""))


def close(said: float, true: float, relative: float, absolute: float = 0.0) -> bool:
    return abs(said - true) <= relative * abs(true) + absolute


def _ends(run, *words):
    return True


def _gap(run, gap, name, share, unit, scale):
    true, baseline = run.gap or (np.nan, np.nan)
    signed = run.linear.baseline
    if scale.startswith("what"):
        baseline = signed - run.linear.minimum
        if run.linear.minimum >= 0:  # then the loss of the mean predictor is said
            return False
    elif scale.startswith("the size") != (signed < 0):
        return False
    slack = 2e-5 * baseline + 1e-5 * abs(run.linear.minimum)
    factor = 1 / 100 if unit.startswith("%") else 1.0
    return close(number(gap), true, 0.02, slack) and close(
        number(share) * factor, true / baseline, 0.06, 2e-5
    )


def _at_minimum(run, name):
    return run.gap is not None and run.gap[0] <= 1e-4 * run.gap[1]


def _limit(run, said, noisy=False):
    full, small = run.limits
    true = small if noisy else full
    if true is None:
        return None if noisy else False  # many directions: see test_mean_square.py
    return 0.89 * true <= number(said) <= true * 1.002


def _rate_and_limit(run, lr, words, limit, place, *rest):
    is_noisy = "batch size" in place
    full, small = run.limits
    if _limit_at(run, limit, is_noisy, place) is False:
        return False
    true = small if is_noisy else full
    true = number(limit) if "start" in place else true
    true = true or number(limit)
    ratio, rounding = number(lr) / true, 0.0 if true != number(limit) else 0.1
    if words == "at":
        return close(ratio, 1, 0.02 + rounding)
    if words == "just above":
        return ratio * 1.001 >= 1 and ratio < 1.06 + rounding
    return close(number(words.split()[0]), ratio, 0.1)


def _limit_at(run, limit, is_noisy, place):
    if run.is_function and "start" in place:
        true = PRODUCT[run.rule] / np.linalg.eigvalsh(run.hessian_at_start)[-1]
        return 0.89 * true <= number(limit) <= 1.01 * true
    return _limit(run, limit, is_noisy)


def _share_of_limit(run, share, limit):
    is_noisy = not run.is_full
    full, small = run.limits
    true = small if is_noisy and small is not None else full
    lr = float(run.history["lr"][-1])
    if is_noisy and small is None:
        return None  # many directions: see test_mean_square.py
    return _limit(run, limit, is_noisy) and close(number(share) / 100, lr / true, 0.15)


def _try(run, lr, *rest):
    return run.improves(number(lr))


def _try_measured(run, lr, start, end, steps):
    return close(number(start), float(run.history["objective"][0]), 1e-3) and _try(run, lr)


def _epochs(run, count):
    """Check the epochs to go by running on; None if that would take long."""
    count = number(count)
    if count > 3_000:
        return None
    more = run.train(run.case.but(epochs=int(run.result.epochs + 1.3 * count + 20)))
    return str(more.status) == "converged" and close(
        more.epochs - run.result.epochs, count, 0.1, 12
    )


def _lowers(run, epochs, share):
    """Check the mean decrease of the last epochs, as a share of each or of the first."""
    first, *_, last = run.history["objective"][-1 - int(number(epochs)) :]
    decreases = [(first - last) / abs(first) / int(number(epochs))]
    if first * last > 0:
        decreases.append(1 - (last / first) ** (1 / int(number(epochs))))
    return first > last and any(close(number(share) / 100, d, 0.06) for d in decreases)


def _slow(run, *words):
    """Check that as many epochs again lower the gap by less than a tenth."""
    if run.gap is not None and run.gap[0] <= 9e-4 * run.gap[1]:
        return False
    if "schedule" in run.settings:
        return None
    more = run.train(run.case.but(epochs=2 * run.result.epochs))
    before, after = run.result.objective, more.objective
    if run.gap is not None:
        return before - after < 0.1 * run.gap[0]
    return before - after < 0.1 * abs(before) + 1e-12


def _noise(run):
    """Check that the same epochs end lower if the learning rate decays."""
    if run.is_full:
        return False
    if "schedule" in run.settings:
        return None
    other = run.train(run.case.but(schedule="cosine"))
    return other.objective < run.result.objective


def _wavers(run, epochs):
    changes = np.diff(run.history["objective"][-int(number(epochs)) - 1 :])
    return run.is_full and (changes > 0).any() and (changes < 0).any()


def _rises(run, epochs, start, end):
    objective = run.history["objective"]
    is_start = close(number(start), float(objective[-int(number(epochs)) - 1]), 1e-3)
    return (
        is_start and close(number(end), float(objective[-1]), 1e-3) and number(end) > number(start)
    )


def _still(run, epochs):
    last = run.history["objective"][-int(number(epochs)) - 1 :]
    return np.ptp(last) <= 1e-5 * np.abs(last).max()


def _point(run, kind, lowest, rest):
    step, hessian = run.newton
    values = np.linalg.eigvalsh(hessian)
    signs = {"minimum": values[0] > 0, "maximum": values[-1] < 0,
             "saddle": values[0] < 0 < values[-1]}  # fmt: skip
    return (
        step <= 1e-2 and signs[kind.split(",")[0]] and close(number(lowest), values[0], 0.02, 1e-3)
    )


def _poor(run, part, name, value, other):
    if name == "r2":
        return run.result.metrics[part]["r2"] < 0
    return part_accuracy(run, part) < 0


def _overfits(run, since, low, high):
    validation, training = run.history["validation_loss"], run.history["train_loss"]
    best = int(validation.argmin())
    said = 0 if since == "the start" else int(number(since.split()[1]))
    is_rise = validation[-1] > 1.01 * validation[best]
    return said == best and is_rise and training[-1] < training[best]


def _separable(run, remedy):
    return run.linear is not None and run.linear.is_separable


def _lowered(run, high, low):
    lr = run.history["lr"]
    return close(number(high), lr.max(), 0.01) and close(number(low), lr[-1], 0.01)


def _zero(run):
    return all(not p.detach().any() for p in run.result.module.parameters() if p.ndim >= 2)


def _curvature_is(run, said, where):
    if run.is_function:
        hessian = run.hessian_at_start if "start" in where else run.newton[1]
        return close(number(said), np.linalg.eigvalsh(hessian)[-1], 0.01, 1e-2)
    if run.linear is None:
        return False
    return close(number(said), run.linear.largest_curvature(np.zeros(run.end.size)), 0.01, 1e-9)


def _curvature_here(run, said, where, limit):
    return _curvature_is(run, said, where) and run.is_full and _limit_at(run, limit, False, where)


def _stable(run, said, limit):
    is_quadratic = run.result.model == "quadratic" or (
        run.linear is not None and run.linear.loss == "mse" and not run.linear.l1
    )
    return is_quadratic and _curvature_is(run, said, "") and _limit(run, limit)


def _stable_noisy(run, said, limit, noisy):
    return _stable(run, said, limit) and _limit(run, noisy, noisy=True) is not False


WHERE = r"((?: at the start| at this point)?(?:, on [\d,]+ rows)?)"
LIMIT = rf"learning rate {N} is (at|just above|{N} times) the stability limit {N}"

CHECKS = [
    ("end", r"reached the limit of .*", _ends),
    ("end", r"objective improved by less than .*", _ends),
    ("end", r"gradient norm .* is at most .*", _ends),
    ("end", r".* became (?:infinite|not a number) at step .*", _ends),
    ("end", r"objective grew to .*", _ends),
    ("gap", rf"the objective is {N} above (its minimum \S+|its lowest limit 0), {N} "
            rf"(% of|times) (the mean predictor's loss|the size of the mean predictor's loss|"
            r"what the mean predictor leaves to explain)", _gap),
    ("gap", r"the objective is at (its minimum \S+|its lowest limit 0), up to rounding",
     _at_minimum),
    ("rate", rf"{LIMIT}(.*?)(: the objective .*|, so the curvature was larger later)?",
     lambda run, lr, words, _, limit, place, rest: _rate_and_limit(run, lr, words, limit, place)),
    ("rate", rf"learning rate {N} is too large", lambda run, lr: run.status == "diverged"),
    ("slow rate", rf"the learning rate is {N} % of its stability limit {N}(?: at.*)?",
     _share_of_limit),
    ("try", rf"try {N}, which lowered the objective from {N} to {N} in {N} steps?",
     _try_measured),
    ("try", rf"try {N}(?:, larger batches or a decaying schedule)?", _try),
    ("try", r"none of .* learning rates from .* lowered the objective in .*", _ends),
    ("try", r"try a smaller one", lambda run: run.status == "diverged"),
    ("try", r"try a smaller learning rate, larger batches or a decaying schedule", _ends),
    ("cause", rf"still descending: needs {N} more epochs to converge", _epochs),
    ("cause", rf"still descending: an epoch of the last {N} lowered the objective by {N} % "
              r"on average", _lowers),
    ("cause", rf"moves too slowly for its tolerance: needs {N} more epochs to converge", _slow),
    ("cause", rf"moves too slowly for its tolerance: an epoch of the last {N} lowered the "
              rf"objective by {N} % on average", _slow),
    ("cause", rf"moves too slowly: the objective has hardly changed over the last {N} epochs?",
     _slow),
    ("cause", rf"the objective has hardly changed over the last {N} epochs?", _still),
    ("cause", r"the noise of the batches keeps the objective from settling", _noise),
    ("cause", rf"the objective rises and falls over the last {N} epochs?", _wavers),
    ("cause", rf"the objective has risen over the last {N} epochs?, from {N} to {N}", _rises),
    ("point", rf"the point is a (minimum|maximum, not a minimum|saddle, not a minimum): "
              rf"lambda_min = {N}(.*)", _point),
    ("point", r"start elsewhere", _ends),
    ("poor", rf"(train|validation) (r2|accuracy) {N} is below {N}(?:: the mean.*|, the share.*)",
     _poor),
    ("overfits", rf"the validation loss has risen since (the start|epoch [\d,]+), from {N} to {N}, "
                 r"while the training loss fell: the model overfits", _overfits),
    ("overfits", r"stopping=early keeps the best epoch", _ends),
    ("separable", r"a linear model separates the classes, so the loss has no finite minimum and "
                  r"the weights grow without end", lambda run: _separable(run, "")),
    ("separable", r"(penalty=l2 makes it finite|raise penalty.strength above 0)", _separable),
    ("lowered", rf"the schedule has lowered the learning rate from {N} to {N}", _lowered),
    ("trap", r"all weights are zero, .*", _zero),
    ("limits", rf"curvature: lambda_max {N}{WHERE}", _curvature_is),
    ("limits", rf"curvature: lambda_max {N}{WHERE}: the limit of lr there is {N}",
     _curvature_here),
    ("limits", rf"curvature: lambda_max {N}, stable up to lr {N}(?: \(full batch\))?", _stable),
    ("limits", rf"curvature: lambda_max {N}, stable up to lr {N} \(full batch\), {N} at this "
               r"batch size", _stable_noisy),
]  # fmt: skip
"""Kind, pattern and check of each sentence; the groups are arguments of the check."""
