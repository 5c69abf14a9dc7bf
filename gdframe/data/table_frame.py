"""From the columns of a table to a frame: the target, the features, the rows, and the notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdframe.data.absent_category import absent_note, is_mark, with_absent_category
from gdframe.data.class_labels import Target
from gdframe.data.features import describe, kinds_in_words, raw_values
from gdframe.data.frame import Column, Frame, first_rows
from gdframe.data.lack_of_features import reasons_of, ways_back
from gdframe.data.reader import RawTable, pick, shown_columns
from gdframe.data.reading.arrays import missing_in, numbers
from gdframe.data.reading.typed import typed
from gdframe.data.reading.typed_column import TypedColumn
from gdframe.data.target import read_target
from gdframe.data.unfit_columns import (
    LeftOut,
    Rules,
    copies_of_target,
    suspected_sentinel,
    why_left_out,
)
from gdframe.data.weights import checked_weights, override_of, weights_note
from gdframe.errors import UserError, counted, in_words, override_value, printable

MOST_LISTED = 200
"""Most columns that are listed in ``result.json``."""


@dataclass(frozen=True)
class TableSettings:
    """Choices of a user about a table; see ``Table``."""

    targets: Sequence[str | int]
    features: Sequence[str | int] | None = None
    exclude: Sequence[str | int] = ()
    categorical: Sequence[str | int] = ()
    id: str | int | None = None
    text: str = "leave_out"
    task: str = "auto"
    missing: str = "mean"
    max_categories: int = 100
    group: str | int | None = None
    time: str | int | None = None
    weights: str | int | None = None


def frame_of(raw: RawTable, choice: TableSettings) -> Frame:
    """Return the frame of a table.

    Raises:
        UserError: a column does not exist or cannot be used.
    """
    targets = pick(raw, choice.targets)
    identifier = pick(raw, [choice.id])[0] if choice.id is not None else None
    weighing = pick(raw, [choice.weights])[0] if choice.weights is not None else None
    key = _split_key(raw, choice)
    names = _feature_names(raw, choice, targets, identifier)
    categorical = set(pick(raw, choice.categorical))
    as_text = categorical | set(raw.nominal)
    layout, all_names = raw.layout, raw.names
    labels = categorical if choice.task == "regression" else as_text
    are_codes = choice.task != "regression"
    typed_targets = [
        typed(name, raw.columns.pop(name), layout, text=name in labels, codes=are_codes)
        for name in targets
    ]
    sizes = None if weighing is None else weights_in(raw, weighing)
    keep = _rows_with_target(typed_targets, choice.missing, None if sizes is None else sizes == 0)
    notes, weights = list(raw.notes), None
    if keep is not None:
        rows = np.flatnonzero(~keep)
        notes.append(
            f"{counted(len(rows), 'row')} without a target left out, first "
            f"{first_rows(rows)}; data.missing=error refuses them"
        )
    if weighing is not None and sizes is not None:
        rows, what = np.arange(len(sizes)), override_of(weighing)
        rows = rows if keep is None else rows[keep]
        weights = checked_weights(sizes[rows], what, rows)
        notes.append(weights_note(sizes[rows], what))
        keep = np.zeros(len(sizes), dtype=bool)
        keep[rows[weights > 0]] = True
        weights = weights[weights > 0]
    if keep is not None:
        typed_targets = [column.filtered(keep) for column in typed_targets]
        key = None if key is None else key.filtered(keep)
    hashed = choice.text == "hash"
    rules = Rules(choice.max_categories, hashed, raw.has_corner)
    places = {name: place for place, name in enumerate(all_names)}
    features, left_out, missing = list[TypedColumn](), list[LeftOut](), dict[str, int]()
    marks = list[TypedColumn]()
    for name in names:
        whole = typed(name, raw.columns.pop(name), layout, text=name in as_text, codes=True)
        column = whole if keep is None else whole.filtered(keep)
        notes += column.notes
        if choice.features is None and name not in categorical:
            reason = why_left_out(whole, places[name], rules, column)
            if reason is not None:
                left_out.append(reason)
                continue
        del whole
        notes += [note] if (note := suspected_sentinel(column)) else []
        if is_mark(column):
            column = with_absent_category(column)
            marks.append(column)
        features.append(column)
        missing[name] = missing_in(column.values)
    notes += absent_note(marks)
    if choice.missing == "drop":
        complete, dropped = _complete_rows(features)
        if dropped:
            features, typed_targets = (
                [column.filtered(complete) for column in columns]
                for columns in (features, typed_targets)
            )
            key = None if key is None else key.filtered(complete)
            weights = None if weights is None else weights[complete]
            notes.append(dropped)
        missing = {}
    target = _joined(typed_targets, choice.task)
    notes += [target.note] if target.note else []
    notes += [note for column in typed_targets for note in column.notes]
    notes += copies_of_target(features, target.values, target.classes is not None)
    if not features:
        raise _no_features(raw, all_names, left_out)
    columns = [
        describe(c, 1 << 62 if c.name in categorical else choice.max_categories, hashed=hashed)
        for c in features
    ]
    values = [raw_values(c, t) for c, t in zip(columns, features, strict=True)]
    if choice.missing == "mean":
        notes += _missing_notes(missing, len(target.values))
    target_name = ", ".join(targets)
    notes += [out.sentence([column.name for column in features]) for out in left_out]
    facts = _facts(raw, columns, target, missing, left_out)
    facts |= {"target": target_name}
    return Frame(
        columns, values, target.values, target_name, target.classes,
        reading={
            "given": raw.given.to_json(), "layout": layout.to_json(),
            "columns": all_names, "targets": targets,
            "id": identifier, "categorical": sorted(categorical),
            **({} if weighing is None else {"weights": weighing}),
        },
        facts={**facts, "notes": [printable(note) for note in notes]},
        notes=[_first_line(raw, columns, target, target_name), *notes],
        disposable=True, split_keys=None if key is None else _keys(key, choice), weights=weights,
    )  # fmt: skip


def _no_features(raw: RawTable, names: Sequence[str], left_out: Sequence[LeftOut]) -> UserError:
    """Return the error for a table in which no column can be a feature."""
    ways = ways_back(left_out)
    advice = [f"to keep them, set {', or '.join(ways)}"] if ways else []
    advice.append(f"its columns are {shown_columns(names)}")
    if raw.layout.separator:  # of text, whose columns are a guess
        advice.append("set data.separator if these are not its columns")
    return UserError(
        f"{raw.name}: the data has no features besides the target{reasons_of(left_out)}; "
        f"{'; '.join(advice)}"
    )


def _split_key(raw: RawTable, choice: TableSettings) -> TypedColumn | None:
    """Return the column by which rows are split, if there is one."""
    column = choice.group if choice.group is not None else choice.time
    if column is None:
        return None
    (name,) = pick(raw, [column])
    return typed(name, raw.columns[name], raw.layout, text=choice.group is not None)


def weights_in(raw: RawTable, name: str) -> NDArray[np.float64]:
    """Return the numbers of a column of weights, (rows,), with NaN for a missing one.

    Raises:
        UserError: the column holds something else.
    """
    column = typed(name, raw.columns[name], raw.layout)
    if column.content not in ("number", "boolean"):
        raise UserError(
            f"{override_of(name)}: its values are of type {column.content}; expected numbers"
        )
    return numbers(column.values)


def _keys(column: TypedColumn, choice: TableSettings) -> NDArray[Any]:
    """Return the time or the group of each row, (rows,).

    Raises:
        UserError: values are missing, or are no times.
    """
    what = "group" if choice.group is not None else "time"
    absent = np.flatnonzero(np.asarray(column.values.is_null(nan_is_null=True)))
    if len(absent):
        raise UserError(
            f"data.{what}={override_value(column.name)}: "
            f"{counted(len(absent), 'row')} without a {what}, first {first_rows(absent)}; remove "
            "them or choose another column"
        )
    if column.content == "text" and what == "group":
        return np.asarray(column.values.indices)
    if column.content not in ("number", "boolean", "date"):
        raise UserError(
            f"data.{what}={override_value(column.name)}: its values are of type "
            f"{column.content}; expected "
            + ("dates or numbers" if what == "time" else "text, dates or numbers")
        )
    return numbers(column.values)


def _feature_names(
    raw: RawTable, choice: TableSettings, targets: Sequence[str], identifier: str | None
) -> list[str]:
    if len(set(targets)) < len(targets):
        raise UserError(f"data.target={in_words(targets)}: a column is named twice; name it once")
    others = [column for column in (choice.group, choice.weights) if column is not None]
    named = set(pick(raw, choice.features or []))
    if choice.weights is not None and named & {*pick(raw, [choice.weights])}:
        raise UserError(f"data.features contains the weights '{choice.weights}': leave it out")
    excluded = {*pick(raw, [*choice.exclude, *others]), *targets, identifier}
    if choice.features is None:
        return [name for name in raw.names if name not in excluded]
    names = pick(raw, choice.features)
    for target in targets:
        if target in names:
            raise UserError(f"data.features contains the target '{target}': leave it out")
    if len(set(names)) < len(names):
        raise UserError(f"data.features={', '.join(names)}: a column is named twice; name it once")
    return [name for name in names if name not in excluded]


def _rows_with_target(
    columns: Sequence[TypedColumn], missing: str, ignored: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    """Return which rows have a target, or are ignored; None if all are.

    Raises:
        UserError: none has one, or missing values are refused.
    """
    keep: NDArray[np.bool_] | None = None
    for column in columns:
        absent = np.asarray(column.values.is_null(nan_is_null=True))
        absent = absent if ignored is None else absent & ~ignored
        bad = np.flatnonzero(absent)
        if not len(bad):
            continue
        if missing == "error" or len(bad) == len(absent):
            raise UserError(
                f"target '{column.name}' has {counted(len(bad), 'missing value')}, first in "
                f"{first_rows(bad)}: remove those rows"
                + ("" if len(bad) == len(absent) else ", or set data.missing=drop")
            )
        keep = ~absent if keep is None else keep & ~absent
    return keep


def _complete_rows(columns: Sequence[TypedColumn]) -> tuple[NDArray[np.bool_], str]:
    """Return which rows have a value in every column, and a note on the others, if any.

    Raises:
        UserError: no row has.
    """
    absent = np.zeros(len(columns[0].values) if columns else 0, dtype=bool)
    for column in columns:
        absent |= np.asarray(column.values.is_null(nan_is_null=True))
    bad = np.flatnonzero(absent)
    if not len(bad):
        return ~absent, ""
    if absent.all():
        raise UserError(
            "data.missing=drop: every row has a missing value; leave columns out with "
            "data.exclude=[...], or set data.missing=mean"
        )
    note = f"{counted(len(bad), 'row')} with missing values left out, first {first_rows(bad)}"
    return ~absent, note


def _joined(columns: Sequence[TypedColumn], task: str) -> Target:
    """Return the target of one column, or of several columns of numbers."""
    if len(columns) == 1:
        return read_target(columns[0], task)
    for column in columns:
        if column.content not in ("number", "boolean") or task == "classification":
            raise UserError(
                f"target '{column.name}': several targets must be numbers for regression; name one "
                "target"
            )
    return Target(np.column_stack([read_target(c, "regression").values for c in columns]))


def _missing_notes(missing: dict[str, int], rows: int) -> list[str]:
    holes = {name: count for name, count in missing.items() if count}
    if not holes:
        return []
    shown = [f"'{name}' {count:,}" for name, count in list(holes.items())[:8]]
    more = f" and {counted(len(holes) - 8, 'more column')}" if len(holes) > 8 else ""
    return [
        f"missing values in {counted(len(holes), 'column')} of {rows:,} rows ({in_words(shown)}"
        f"{more}) take the training mean; data.missing=drop leaves the rows out, "
        "data.missing=error refuses them"
    ]


def _shares(target: Target) -> dict[str, int]:
    counts = np.bincount(target.values, minlength=len(target.classes or ()))
    return {str(c): int(n) for c, n in zip(target.classes or (), counts, strict=True)}


def _first_line(raw: RawTable, columns: Sequence[Column], target: Target, name: str) -> str:
    """Return rows, features and target of a table in one line."""
    rows = len(target.values)
    text = f"{raw.name}: {counted(rows, 'row')}, {counted(len(columns), 'feature')} " + (
        f"({kinds_in_words(columns)}), target '{name}': "
    )
    if target.classes is None:
        width = target.values.shape[1] if target.values.ndim > 1 else 1
        low, high = float(np.min(target.values)), float(np.max(target.values))
        what = "numbers" if width == 1 else f"{width} columns of numbers"
        return f"{text}{what} from {low:.6g} to {high:.6g} (regression)"
    shares = sorted(_shares(target).items(), key=lambda item: -item[1])
    shown = [f"{label} {100 * count / rows:.3g} %" for label, count in shares[:6]]
    more = f" and {len(shares) - 6} more" if len(shares) > 6 else ""
    return f"{text}{len(shares)} classes ({in_words(shown)}{more})"


def _facts(
    raw: RawTable, columns: Sequence[Column], target: Target, missing: dict[str, int],
    left_out: Sequence[LeftOut],
) -> dict[str, Any]:  # fmt: skip
    return {
        "source": raw.name,
        "columns": [
            {"name": c.name, "kind": c.kind, "missing": missing.get(c.name, 0)}
            for c in columns[:MOST_LISTED]
        ],
        "left_out": [{"name": o.column, "reason": o.reason} for o in left_out[:MOST_LISTED]],
        "layout": raw.layout.to_json(),
    }
