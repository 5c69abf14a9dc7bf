"""The table of the versions that trained the runs of a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gdframe.cli.report.page import Table
from gdframe.runs.result import versions


def versions_of(results: list[Mapping[str, Any]], notes: list[str]) -> Table:
    """Return the versions that trained runs, and add a note if they differ from each other."""
    current = versions()
    if not results:  # no run has recorded its versions yet
        return Table(["", "this page by"], [[*pair] for pair in current.items()], "Versions")
    names = dict.fromkeys(name for r in results for name in r.get("versions") or {})
    rows = []
    for name in names:
        used = [(r.get("versions") or {}).get(name, "unknown") for r in results]
        counts = {version: used.count(version) for version in dict.fromkeys(used)}
        text = ", ".join(
            version if len(counts) == 1 else f"{version} ({count:,} runs)"
            for version, count in counts.items()
        )
        rows.append([name, text, current.get(name, "")])
        if len(counts) > 1:
            notes.append(f"The runs were trained by different versions of {name}: {text}.")
        elif name in current and next(iter(counts)) != current[name]:
            notes.append(f"Trained by {name} {text}; this page was written by {current[name]}.")
    return Table(["", "trained by", "this page by"], rows, "Versions")
