"""``python -m gdframe inspect``: what a table holds, and the commands that train on it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc

from gdframe.config.override_syntax import parse
from gdframe.data.lack_of_features import lack_of_features, reasons_of
from gdframe.data.reader import RawTable, read_file
from gdframe.data.reading.arrays import kind_of, missing_in, numbers
from gdframe.data.reading.layout import Layout
from gdframe.data.reading.typed import typed
from gdframe.data.reading.typed_column import TypedColumn
from gdframe.data.target import read_target
from gdframe.data.unfit_columns import LeftOut, Rules, suspected_sentinel, why_left_out
from gdframe.errors import (
    UserError,
    bad_value,
    counted,
    in_words,
    override_value,
    shell_word,
    shortened,
    unknown,
)
from gdframe.registry import DATASETS

MOST_COLUMNS_SHOWN = 200
"""Most columns that are listed."""

MOST_COMMANDS = 4
"""Most commands that are proposed."""

TARGET_NAMES = re.compile(
    r"y|target|class|label|outcome|response|price|.*_(class|label|target)|(sale|median).*price|"
    r"species|diagnosis|quality|survived|churn|type",
    re.IGNORECASE,
)
"""Names that the column to predict often has."""


def profile(path: str, settings: Sequence[str] = ()) -> str:
    """Return the profile of a table as text.

    Args:
        path: a file, a folder or a pattern.
        settings: overrides of ``data``, such as ``data.separator=;``.

    Raises:
        UserError: the table cannot be read, or a setting is none of ``data``.
    """
    chosen = _settings(settings)
    categorical = [str(name) for name in chosen.pop("categorical", None) or ()]
    limit = chosen.pop("max_categories", 100)
    layout = DATASETS.build("table", path=path, target=1, **chosen).layout
    raw = read_file(path, layout, text=categorical)
    columns, errors = [], dict[str, str]()
    for name in raw.names:
        try:
            is_text = name in categorical or name in raw.nominal
            columns.append(typed(name, raw.columns[name], raw.layout, text=is_text, codes=True))
        except UserError as error:
            errors[name] = str(error)
    rules = Rules(limit, has_corner=raw.has_corner)
    lines = [
        f"{raw.name}: {counted(raw.rows, 'row')}, "
        f"{counted(len(raw.columns), 'column')}",
        *raw.notes, *map(shortened, _table(columns, raw, rules)), *errors.values(),
        *(note for column in columns for note in column.notes),
        *(note for column in columns if (note := suspected_sentinel(column))),
    ]  # fmt: skip
    words = [word for word in settings if "=" in word]
    places = {name: place for place, name in enumerate(raw.names)}

    def lacks(target: TypedColumn) -> list[LeftOut] | None:
        are_named = bool({*categorical, *errors} - {target.name})  # features whatever they hold
        return None if are_named else lack_of_features(target, columns, places, rules)

    return "\n".join([*lines, "", "to train:", *_commands(path, columns, words, lacks)])


def _settings(words: Sequence[str]) -> dict[str, Any]:
    """Return the settings of a table by name.

    Raises:
        UserError: a word is no setting of ``data``.
    """
    known = set(Layout.__dataclass_fields__) | {"categorical", "max_categories"}
    chosen: dict[str, Any] = {}
    for override in parse(words):
        key = str(override.key_or_group)
        name = key.removeprefix("data.")
        if key == name or name not in known:
            raise unknown(key, "setting of inspect", key, [f"data.{n}" for n in sorted(known)])
        value = override.value()
        if name in ("null_values", "names", "categorical") and not isinstance(value, list):
            raise bad_value(f"{key}={value}", "a list", f"write {key}=[{value}]")
        chosen[name] = value
    return chosen


def _table(columns: Sequence[TypedColumn], raw: RawTable, rules: Rules) -> list[str]:
    """Return a line for each column: its number, name, kind, missing values and range."""
    places = {name: place for place, name in enumerate(raw.names)}
    rows = [("", "column", "holds", "missing", "values")]
    for column in columns[:MOST_COLUMNS_SHOWN]:
        place = places[column.name]
        reason = why_left_out(column, place, rules)
        shown = _values(column) + (f"  <- left out: {reason.reason}" if reason else "")
        absent = missing_in(column.values)
        rows.append(
            (str(place + 1), column.name, _kind(column), f"{absent:,}" * (absent > 0), shown)
        )
    widths = [min(40, max(len(row[i]) for row in rows)) for i in range(4)]
    lines = [
        "  ".join(
            f"{cell:<{width}}" for cell, width in zip(row, [*widths, 0], strict=True)
        ).rstrip()
        for row in rows
    ]
    more = len(columns) - MOST_COLUMNS_SHOWN
    return [*lines, *([f"and {counted(more, 'more column')}"] if more > 0 else [])]


def _kind(column: TypedColumn) -> str:
    if column.content == "unusable":
        return kind_of(column.values)
    return {"number": "numbers", "boolean": "true/false", "date": "dates"}.get(
        column.content, column.content
    )


def _values(column: TypedColumn) -> str:
    """Return the range of numbers and dates, or the first categories."""
    if column.content == "text":
        texts = sorted(text for text in column.values.dictionary.to_pylist() if text is not None)
        more = f", ... ({len(texts):,} different)" if len(texts) > 4 else ""
        return in_words(text[:20] for text in texts[:4]) + more
    if column.content == "unusable":
        return ""
    array = numbers(column.values)
    array = array[np.isfinite(array)]
    if not len(array):
        return "none"
    low, high = array.min(), array.max()
    if column.content == "date":
        limits = np.clip((low, high), -1e18, 1e18)  # which numpy can show
        first, last = (np.datetime64(int(value), "s") for value in limits)
        return f"{first} to {last}"
    return f"{low:.6g} to {high:.6g}, mean {array.mean():.4g}"


def _commands(
    path: str,
    columns: Sequence[TypedColumn],
    settings: Sequence[str],
    lacks: Callable[[TypedColumn], list[LeftOut] | None],
) -> list[str]:
    """Return the command for each column that could be the target, the likeliest first.

    Args:
        path: of the table.
        columns: of the table.
        settings: overrides that the commands repeat.
        lacks: returns for a target why no other column can be a feature, or None.
    """
    usable = [
        column for column in columns
        if column.content in ("text", "number", "boolean")
        and missing_in(column.values) < len(column.values)
    ]  # fmt: skip
    named = [column for column in usable if TARGET_NAMES.fullmatch(column.name)]
    last = usable[-1:] if usable else []
    first = [column for column in usable[:1] if column.content == "text"]
    commands, reasons = list[str](), list[str]()
    for column in {column.name: column for column in (*named, *last, *first)}.values():
        task = _task(column)
        if not task:
            continue
        left_out = lacks(column)
        more = ["data.text=hash"] * any(out.has_words for out in left_out or ())
        if left_out is not None and not more:
            reasons.append(
                f"  none to predict '{column.name}': no other column can be a feature"
                f"{reasons_of(left_out)}"
            )
            continue
        target = f"data.target={override_value(column.name)}"
        words = ["data=table", f"data.path={override_value(path)}", target, *more, *settings]
        commands.append(f"  python -m gdframe {' '.join(map(shell_word, words))}  # {task}")
    return [*commands[:MOST_COMMANDS], *reasons] or [
        "  name the column to predict: python -m gdframe data=table data.path=... data.target=..."
    ]


def _task(column: TypedColumn) -> str:
    """Return the task that a target would give, or nothing if it cannot be one."""
    try:
        present = column.values.filter(column.values.is_valid())
        if column.content == "number":
            present = present.filter(pc.is_finite(present))
        target = read_target(TypedColumn(column.name, column.content, present), "auto")
    except UserError:
        return ""
    if target.classes is None:
        return "regression"
    return "" if len(target.classes) < 2 else f"{len(target.classes)} classes"
