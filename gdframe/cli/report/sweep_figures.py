"""The figures of the page of a sweep: the curves of all runs, a figure for each scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gdframe.cli.report.labels import word
from gdframe.cli.report.page import Figure, number
from gdframe.cli.report.page_curves import by_epoch, points
from gdframe.cli.report.run_figures import GAP, add_gap, has_batches, linear_columns
from gdframe.config.known_minimum import known_minimum
from gdframe.runs.recorded_history import RecordedHistory
from gdframe.runs.run_folder import RunFolder
from gdframe.sweeps.comparing.comparison import Configuration, Record
from gdframe.sweeps.comparing.sweep_metric import WORTHLESS

MOST_DAMAGES = 5
"""Most messages on damaged files."""

MEASURES = ("objective", "validation_loss", "train_loss", "gradient_norm")
"""Columns to choose from, besides the metric of the sweep."""

MOST_IN_WORDS = 8
"""Most configurations in the description of a figure."""


@dataclass
class SweepFigures:
    """The figures of a sweep.

    Args:
        figures: one for each scale, such as that of each loss.
        curves: columns of each run.
        groups: names of configurations, best first.
        axes: the axes of curves to choose from.
    """

    figures: list[Figure] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    axes: list[str] = field(default_factory=list)


def sweep_figures(
    records: Sequence[Record], ranked: Sequence[Configuration], metric: str, notes: list[str]
) -> SweepFigures:
    """Return the figures of all runs.

    Args:
        records: the runs.
        ranked: configurations, best first.
        metric: to compare the runs by.
        notes: gets messages about curves that are missing or damaged.
    """
    histories = {
        record.folder: RunFolder(record.folder).read_history(record.result) for record in records
    }
    damages = [message for history in histories.values() for message in history.damages]
    notes += [f"{damage}." for damage in damages[:MOST_DAMAGES]]
    missing = sum(not history.epochs for history in histories.values())
    if missing:
        notes.append(
            f"{missing:,} of {len(records):,} runs have no curves: neither a checkpoint nor an "
            "event file with measurements."
        )
    for record in records:
        add_gap(histories[record.folder], known_minimum(record.result, record.folder))
    measures = _measures(histories, metric)
    if not measures:
        return SweepFigures()
    page = SweepFigures(axes=_axes(records, histories))
    most = points(len(records) * len(measures))
    by_scale: dict[str, list[int]] = {}
    for index, configuration in enumerate(ranked):
        page.groups.append(name_of(configuration) or "all")
        by_scale.setdefault(name_of_scale(configuration), []).append(index)
        for record in configuration.records:
            history = histories[record.folder]
            columns = [name for name in measures if name in history.epochs]
            if columns:
                name = f"run {Path(record.folder).name}: {name_of(record) or 'as configured'}"
                lost = (record.result or {}).get("status") in WORTHLESS
                curve = by_epoch(history, columns, most)
                page.curves.append({"name": name, "group": index, "lost": lost, **curve})
    result = next((record.result for record in records if record.result is not None), None)
    for scale, indices in by_scale.items():
        folders = [record.folder for index in indices for record in ranked[index].records]
        shown = _shown(measures, [histories[folder] for folder in folders])
        if not shown:
            continue
        title = f"How do the runs descend?{scale if len(by_scale) > 1 else ''}"
        words = _words(shown[0], [(page.groups[i], ranked[i]) for i in indices], histories)
        linear = linear_columns(shown, result)
        page.figures.append(Figure(title, shown, False, words, groups=indices, linear=linear))
    return page


def name_of(item: Configuration | Record) -> str:
    """Return the settings of a configuration or a run."""
    return ", ".join(f"{key}={value}" for key, value in item.settings.items())


def name_of_scale(configuration: Configuration) -> str:
    """Return the settings that determine the scale, for a title."""
    return "".join(f" {key}={value}" for key, value in configuration.problem.items())


def _measures(histories: Mapping[str, RecordedHistory], metric: str) -> list[str]:
    """Return the columns to choose from: first the metric, or the gap to the known minimum."""
    column = metric.removeprefix("metrics.").replace(".", "/")
    names = list(dict.fromkeys([column, GAP, *MEASURES]))
    if column == "objective":
        names = list(dict.fromkeys([GAP, *names]))
    return [name for name in names if any(name in h.epochs for h in histories.values())]


def _shown(measures: Sequence[str], histories: Sequence[RecordedHistory]) -> list[str]:
    """Return the columns that runs have; the gap only where all runs with curves have it."""
    with_curves = [history.epochs for history in histories if history.epochs]
    return [
        name
        for name in measures
        if any(name in epochs for epochs in with_curves)
        and (name != GAP or all(name in epochs for epochs in with_curves))
    ]


def _axes(records: Sequence[Record], histories: Mapping[str, RecordedHistory]) -> list[str]:
    """Return the axes of curves; samples only if some run of data has batches."""
    is_stochastic = any(
        (record.result or {}).get("point") is None
        and has_batches(histories[record.folder], record.result)
        for record in records
    )
    return ["step", *(["samples"] if is_stochastic else []), "seconds"]


def _words(
    measure: str, named: Sequence[tuple[str, Configuration]],
    histories: Mapping[str, RecordedHistory],
) -> list[str]:  # fmt: skip
    """Return a sentence for each of the first configurations."""
    sentences = []
    for name, configuration in named[:MOST_IN_WORDS]:
        columns = [histories[record.folder].epochs for record in configuration.records]
        ends = [float(epochs[measure][-1]) for epochs in columns if measure in epochs]
        finite = [value for value in ends if np.isfinite(value)]
        if finite:
            mean = number(float(np.mean(finite)))
            sentences.append(f"{name}: {word(measure)} ends at {mean}.")
    return sentences
