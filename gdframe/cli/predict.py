"""``python -m gdframe predict``: predictions for new rows with the model of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from gdframe.config.build import build_model, check_model, sizes_of
from gdframe.config.trusted_plugins import load_stored
from gdframe.data.dataset import first_rows
from gdframe.data.encoding import Encoding
from gdframe.data.reader import feature_values, pick, read_file
from gdframe.errors import UserError, bad_value, counted, first_line, reason_of
from gdframe.losses import Loss
from gdframe.objective import CHUNK
from gdframe.registry import LOSSES, MODELS, is_built_in
from gdframe.runs.files import remove_unfinished, require_place, write_atomically
from gdframe.runs.model_file import load_model
from gdframe.runs.run_folder import RunFolder
from gdframe.runs.spreadsheet import cell


def predict(run: str | Path, path: str | Path, *, plugins: Sequence[str] = ()) -> pa.Table:
    """Return predictions for the rows of a CSV or Parquet file.

    Args:
        run: the run folder.
        path: a file with the columns of the training data, found by name; others are ignored.
        plugins: files or modules with components of the run, if it is not known that you trained
            with them.

    Returns:
        A table with ``prediction``, in the units or labels of the target. For classifiers with
        probabilities it also has ``probability_CLASS`` for each class.

    Raises:
        UserError: the folder has no model, or the file's columns do not fit it.
    """
    metadata, tensors = RunFolder(run).read_model()
    if metadata["task"] == "minimization":
        raise UserError(
            f"{run}: this run minimised a function and cannot predict; give another run"
        )
    config = metadata["config"]
    load_stored(Path(run), config["plugins"], RunFolder(run).read_plugins(), plugins)
    with _usable(run):
        encoding = Encoding.from_json(metadata["encoding"])
        sizes = {"features": len(encoding.mean), "outputs": metadata["outputs"]}
        check_model(config["model"], **sizes, tensors=tensors)
        loss = _loss(metadata, encoding.classes)
        model = build_model(config["model"], **sizes).to(getattr(torch, config["dtype"]))
        load_model(model, tensors)
    widest = float(max(1, sizes["features"]))
    if is_built_in(MODELS.get(config["model"]["name"])):
        widest = max(widest, sizes_of(json.dumps(config["model"]), **sizes)[1])
    rows = max(1, min(CHUNK, int(MOST_NUMBERS / widest)))
    blocks = _features(encoding, Path(path), np.dtype(config["dtype"]), rows)
    model.eval()
    parts = []
    for features in blocks:
        with torch.no_grad(), _usable(run):
            parts.append(model(torch.from_numpy(features)))
    with _usable(run):
        outputs = torch.cat(parts)
        return _table(loss, outputs, encoding.classes)


@contextmanager
def _usable(run: str | Path) -> Iterator[None]:
    """Raise errors of a model whose metadata do not fit each other as UserError."""
    try:
        yield
    except (
        ValueError, RuntimeError, TypeError, LookupError, OverflowError, AttributeError,
    ) as error:  # fmt: skip
        if reason_of(error) is not None:
            raise
        raise UserError(
            f"{run}: the model cannot be used: {first_line(error)}; resume the run to write it "
            "again"
        ) from error


def _loss(metadata: Mapping[str, Any], classes: tuple[Any, ...] | None) -> Loss:
    """Return the loss of a run.

    Raises:
        ValueError: it does not fit the outputs of the model.
    """
    if metadata["loss"] is None:
        raise ValueError("it has no loss")
    loss: Loss = LOSSES.configured(metadata["loss"])
    outputs, count = metadata["outputs"], None if classes is None else len(classes)
    if count not in (None, outputs) and (outputs, count) != (1, 2):
        raise ValueError(f"{outputs} outputs do not fit {count} classes")
    return loss


def _table(loss: Loss, outputs: torch.Tensor, classes: tuple[Any, ...] | None) -> pa.Table:
    predicted = loss.predict(outputs)
    if classes is None:
        if predicted.shape[1] == 1:
            return pa.table({"prediction": predicted[:, 0].numpy()})
        return pa.table({f"prediction_{i}": p.numpy() for i, p in enumerate(predicted.T)})
    columns = {"prediction": pa.array([classes[index] for index in predicted.tolist()])}
    probabilities = loss.probabilities(outputs)
    if probabilities is not None:
        for label, column in zip(classes, probabilities.T, strict=True):
            columns[f"probability_{label}"] = pa.array(column.numpy())
    return pa.table(columns)


PARQUET, CSV = (".parquet", ".pq"), (".csv",)
"""Endings of files of predictions."""


def check_output(output: str | Path, data: str | Path | None = None) -> None:
    """Check the ending and the folder of the file to write.

    Args:
        output: the file to write.
        data: the file to read, if any.

    Raises:
        UserError: the ending is neither that of CSV nor that of Parquet, there is no folder, or
            both are one file.
    """
    require_place(output)
    with suppress(FileNotFoundError):
        if data is not None and Path(output).samefile(data):
            raise UserError(f"--output {output}: is the file to read; give another file")
    if Path(output).suffix.lower() not in (*PARQUET, *CSV):
        raise bad_value(f"--output {output}", "a file that ends in .csv or .parquet")


def csv_bytes(table: pa.Table) -> bytes:
    """Return a table as CSV, in which no text is a formula of a spreadsheet."""
    import pyarrow.csv

    columns = [
        pa.array(map(cell, column.to_pylist())) if pa.types.is_string(column.type) else column
        for column in table.columns
    ]
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(pa.table(columns, names=list(map(cell, table.column_names))), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def write_table(table: pa.Table, output: str | Path) -> None:
    """Write predictions as CSV or Parquet, by the file's ending.

    Raises:
        UserError: the ending is another one, or the file cannot be written.
    """
    check_output(output)
    path = Path(output)
    if path.suffix.lower() in PARQUET:
        import pyarrow.parquet

        sink = pa.BufferOutputStream()
        pyarrow.parquet.write_table(table, sink)
        content = sink.getvalue().to_pybytes()
    else:
        content = csv_bytes(table)
    try:
        remove_unfinished(path.parent, path.name)
        write_atomically(path, content)
    except OSError as error:
        raise UserError(f"--output {path}: cannot be written: {error.strerror}") from error


MOST_NUMBERS = 1 << 24
"""Most features, and most activations, of the rows that are predicted at a time."""


def _features(
    encoding: Encoding, path: Path, dtype: np.dtype[Any], rows: int
) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the features of a file, (rows, features), some rows at a time.

    Raises:
        UserError: the columns do not fit the model, or a value is missing or not finite.
    """
    categories = [column.name for column in encoding.columns if column.kind == "category"]
    table = read_file(path, text=categories)
    arrays = pick(table, [column.name for column in encoding.columns], path)
    values = [
        feature_values(column, array)
        for column, array in zip(encoding.columns, arrays, strict=True)
    ]
    ends = np.cumsum([column.width for column in encoding.columns])
    first, invalid = len(ends), list[int]()
    for start in range(0, table.num_rows, rows):
        block = np.arange(start, min(start + rows, table.num_rows))
        features = encoding.transform(values, block, dtype)
        is_finite = np.isfinite(features)
        if not is_finite.all():
            column = int(np.searchsorted(ends, np.argmin(is_finite.all(axis=0)), side="right"))
            if column < first:
                first, invalid = column, []
        if first < len(ends):
            part = is_finite[:, ends[first] - encoding.columns[first].width : ends[first]]
            invalid += block[~part.all(axis=1)].tolist()
        else:
            yield features
    if invalid:
        raise UserError(
            f"column '{encoding.columns[first].name}': has "
            f"{counted(len(invalid), 'missing or non-finite value')}, first in "
            f"{first_rows(np.array(invalid))}"
            + ("" if encoding.fill is not None else "; train with data.missing=mean to impute")
        )
