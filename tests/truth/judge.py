"""Score each sentence of a verdict, and those that it should have."""

from __future__ import annotations

import re
from collections import Counter

from .sentences import CHECKS
from .trained import Trained, part_accuracy

RIGHT, SILENT, FALSE = "right", "silent", "false"


def judge(run: Trained) -> list[tuple[str, str, str]]:
    """Return kind, score and text of each sentence that a run says, or should."""
    scores, said = [], Counter()
    for sentence in run.sentences:
        for kind, pattern, check in CHECKS:
            match = re.fullmatch(pattern, sentence)
            if match:
                holds = check(run, *match.groups())
                if holds is not None:
                    scores.append((kind, RIGHT if holds else FALSE, sentence))
                said[kind] += 1
                break
        else:
            scores.append(("unread", FALSE, sentence))
    scores += [(kind, SILENT, "") for kind in _missing(run) if not said[kind]]
    if run.status == "converged" and run.is_near is False:
        scores.append(("status", FALSE, "converged"))
    return scores


def _missing(run: Trained):
    """Return the kinds of sentences that a run should have."""
    if run.status == "diverged":
        return ["rate"]
    due = []
    if run.linear is not None:
        known = run.linear.minimum is not None and run.linear.kind != "l1"
        if known and run.linear.loss not in ("mae", "hinge"):
            due.append("gap")
        if run.linear.is_separable:
            due.append("separable")
    for part, metrics in run.result.metrics.items():
        if metrics.get("r2", 0) < 0 or part_accuracy(run, part) < -1e-9:
            due.append("poor")
    if run.is_near is False and run.status == "max_epochs" and len(run.history["lr"]) > 8:
        due.append("cause")
    return due
