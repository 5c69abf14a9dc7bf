"""A reference that names nothing, or something of another type, is one message, in each verb."""

from __future__ import annotations

import re

import pytest
from thinned import thinned

from gdframe.config.schema import Schema

KEYS = sorted(
    [name for name, field in Schema.__dataclass_fields__.items() if field.type != "Any"]
    + ["lr", "data.validation", "optimizer.clip_norm", "stopping.target", "evaluation.every",
       "sweep.reuse", "logging.max_points", "checkpoint.every"]
)  # fmt: skip
REFERENCES = ("${oc.env:GDFRAME_NOT_SET}", "${no_such_key}", "${data.name}", "${data}", "???")
OPTIONAL = ("optimizer.clip_norm", "checkpoint.every", "stopping.target")
"""Keys that may be null, as a missing value is in a sweep; ``lr-range`` keeps no checkpoint."""

CASES = [
    (verb, f"{key}={reference}")
    for key in KEYS
    for reference in REFERENCES
    for verb in ([], ["-m"], ["lr-range"])
    if not (verb and key in OPTIONAL and (reference == "???" or key == "checkpoint.every"))
]  # fmt: skip


@pytest.mark.parametrize(("verb", "override"), thinned(CASES, 7))
def test_a_reference_that_cannot_be_used_is_one_message(gdframe, tmp_path, verb, override):
    done = gdframe(*verb, override, "epochs=1" if "epochs" not in override else "lr=0.1")
    assert done.code == 2, done.err
    lines = [line for line in done.err.splitlines() if not line.startswith("warning")]
    assert len(lines) == 1, done.err
    assert re.match(r"gdframe: \S", lines[0])
    assert not list(tmp_path.rglob("result.json"))
