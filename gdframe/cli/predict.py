"""``python -m gdframe predict``: predictions for new rows with the model of a run."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from gdframe.config.build import build_model, check_model, sizes_of
from gdframe.config.construct import construct
from gdframe.config.trusted_plugins import load_stored
from gdframe.config.value_digests import digests_by_place, warn_of_other_values
from gdframe.config.values import files_of_data
from gdframe.data.dataset import Task
from gdframe.data.encoding import Encoding
from gdframe.data.new_rows import FarValuesError, NewRows, read_rows
from gdframe.data.reading.named_files import files_of
from gdframe.data.reading.query import files_of_query
from gdframe.data.rows import Rows
from gdframe.engines.units import metrics_in_units
from gdframe.errors import UserError, counted, first_line, reason_of
from gdframe.hidden_state import undisturbed
from gdframe.losses import Loss
from gdframe.losses.encoded import encoded_rows
from gdframe.metrics.tally import Tally, check_classes, metrics_of_task
from gdframe.models.by_row import takes_rows_alone
from gdframe.objective import CHUNK
from gdframe.registry import LOSSES, MODELS, is_built_in
from gdframe.runs.files import remove_unfinished, write_atomically
from gdframe.runs.model_file import load_model
from gdframe.runs.output_file import refuse_input, require_output
from gdframe.runs.run_folder import MODEL, RunFolder
from gdframe.runs.spreadsheet import cell
from gdframe.stopping import Status

log = logging.getLogger("gdframe")


def predict(
    run: str | Path, path: str | Path, *, plugins: Sequence[str] = (), strict: bool = False,
    force: bool = False, output: str | Path | None = None,
) -> pa.Table:  # fmt: skip
    """Return predictions for the rows of a table.

    Where the file has the target, too, the metrics of the predictions are logged.

    Args:
        run: the run folder.
        path: a file with the columns of the training data, found by name; others are ignored. It
            is read in the way in which the training data were read.
        plugins: files or modules with components of the run, if it is not known that you trained
            with them.
        strict: whether to refuse missing values, and categories that the training data lack.
        force: whether to predict with the model of a run that diverged.
        output: the file that the predictions will be written to, if any; nothing is written here.

    Returns:
        A table with ``prediction``, in the units or labels of the target, after the names of the
        rows, if the run had ``data.id``. For classifiers with probabilities it also has
        ``probability_CLASS`` for each class.

    Raises:
        UserError: the folder has no model, the run diverged, the file's columns do not fit it, or
            the output is a file that it was trained with.
    """
    if not force:
        _refuse_diverged(RunFolder(run))
    metadata, tensors = RunFolder(run).read_model()
    if metadata["task"] == "minimization":
        raise UserError(
            f"{run}: this run minimised a function and cannot predict; give another run"
        )
    config = metadata["config"]
    if output is not None:
        _refuse_training_data(output, config.get("data"))
    load_stored(Path(run), config["plugins"], RunFolder(run).read_plugins(), plugins)
    with _usable(run):
        encoding = Encoding.from_json(metadata["encoding"])
        sizes = {"features": len(encoding.mean), "outputs": metadata["outputs"]}
        if encoding.offset and len(encoding.offset) != metadata["outputs"]:
            raise ValueError(f"{len(encoding.offset)} offsets do not fit the outputs")
        check_model(config["model"], **sizes, tensors=tensors)
        loss = _loss(metadata, encoding.classes)
        model = build_model(config["model"], **sizes, seed=config["seed"])
        now = digests_by_place({"model": model, "loss": loss}, skip_tensors=True)
        before = metadata.get("constructed", {})
        warn_of_other_values(before, now, "the predictions are of another model")
        model.to(getattr(torch, config["dtype"]))
        load_model(model, tensors)
    widest = float(max(1, sizes["features"]))
    if is_built_in(MODELS.get(config["model"]["name"])):
        widest = max(widest, sizes_of(json.dumps(config["model"]), **sizes)[1])
    rows = max(1, min(CHUNK, int(MOST_NUMBERS / widest)))
    new = read_rows(encoding, path, strict=strict)
    model.eval()
    chunks = map(torch.from_numpy, new.features(np.dtype(config["dtype"]), rows))
    try:
        outputs = _outputs(run, model, chunks)
    except FarValuesError as error:
        raise UserError(
            f"{error}; if they are right, {RunFolder(run).path / MODEL} is damaged: resume the run "
            "to write it again"
        ) from error
    predicted = _predicted(run, loss, outputs)
    with _usable(run):
        table = _table(loss, predicted, outputs, encoding)
        _log_scores(metadata["task"], loss, outputs, new)
    names = new.names()
    return table if names is None else table.add_column(0, encoding.reading["id"], names)


def _outputs(
    run: str | Path, model: torch.nn.Module, chunks: Iterator[torch.Tensor]
) -> torch.Tensor:
    """Return a model's outputs for the rows of all chunks; of all together where it needs that."""
    parts: list[torch.Tensor] = []
    seen: list[torch.Tensor] = []
    for features in chunks:
        with torch.no_grad(), _usable(run):
            parts.append(model(features))  # before it is tried: lazy layers are built in a call
            if not takes_rows_alone(model, features, CHUNK, (0.0, 0.0)):
                log.warning(
                    "warning: the model's output for a row may depend on the other rows that it is "
                    "given; the predictions are for all rows of the file together"
                )
                parts = [model(torch.cat([*seen, features, *chunks]))]
                break
        if not is_built_in(model):
            seen.append(features)
    with _usable(run):
        return torch.cat(parts)


def _refuse_diverged(run: RunFolder) -> None:
    """Raise UserError for a run that diverged, if its result tells so."""
    if not run.path.is_dir():
        return
    result = run.find_result()[0]
    if result is not None and result["status"] == Status.DIVERGED:
        raise UserError(
            f"{run}: the run diverged, and its model predicts nothing of use; train with a smaller "
            "learning rate, or predict anyway with --force"
        )


def _log_scores(task: str, loss: Loss, outputs: torch.Tensor, new: NewRows) -> None:
    """Log the metrics of the predictions, where the file has the target."""
    labelled = new.targets()
    if labelled is None:
        return
    try:
        weights = new.weights(labelled[0])
    except UserError as error:
        log.warning("warning: no scores: %s", error)
        return
    index, targets = torch.from_numpy(labelled[0]), torch.from_numpy(labelled[1])
    if new.encoding.classes is None:
        targets = torch.from_numpy(new.encoding.standard_targets(labelled[1]))
    outputs = outputs[index]
    sizes = None if weights is None else torch.from_numpy(weights)
    with undisturbed(loss=loss):  # the scores are of the predictions that were made
        rows = encoded_rows(loss, Rows(outputs, targets, weights=sizes))
    metrics = metrics_of_task(task)  # type: ignore[arg-type]
    tally = Tally(metrics, loss, rows)
    tally.add(outputs, rows.targets)
    scores = metrics_in_units(tally.values(), metrics, new.encoding.target_scale)
    values = [f"{name} {value:.4g}" for name, value in scores.items()]
    count = len(index) if weights is None else int((weights > 0).sum())
    log.info("scores        %s (%s with a target)", ", ".join(values), counted(count, "row"))


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
            f"{RunFolder(run).path / MODEL}: the model cannot be used: {first_line(error)}; resume "
            "the run to write it again"
        ) from error


def _loss(metadata: Mapping[str, Any], classes: tuple[Any, ...] | None) -> Loss:
    """Return the loss of a run.

    Raises:
        ValueError: it does not fit the outputs of the model.
    """
    if metadata["loss"] is None:
        raise ValueError("it has no loss")
    loss: Loss = construct(LOSSES, metadata["loss"], seed=metadata["config"]["seed"])
    if is_built_in(loss) and not loss.task == metadata["task"] == _task(classes):
        raise ValueError(
            f"loss={metadata['loss']['name']} does not fit a model for {metadata['task']}"
        )
    outputs, count = metadata["outputs"], None if classes is None else len(classes)
    fits = count in (None, outputs) or (outputs, count) == (1, 2)
    if is_built_in(loss) and not fits:  # one of a user's may have any number of outputs
        raise ValueError(f"{outputs} outputs do not fit {count} classes")
    return loss


def _task(classes: tuple[Any, ...] | None) -> Task:
    return "regression" if classes is None else "classification"


def _predicted(run: str | Path, loss: Loss, outputs: torch.Tensor) -> torch.Tensor:
    """Return a loss's predictions.

    Raises:
        UserError: the outputs do not fit the loss, or a user's loss fails.
    """
    if is_built_in(loss):
        with _usable(run):
            return loss.predict(outputs)
    try:
        return loss.predict(outputs)
    except Exception as error:
        raise UserError(
            f"loss {loss.name}.predict fails ({type(error).__name__}: {first_line(error)}): the "
            "saved model does not hold what a loss learns in training; pass it as an argument, or "
            "keep it in a buffer of the model"
        ) from error


def _table(
    loss: Loss, predicted: torch.Tensor, outputs: torch.Tensor, encoding: Encoding
) -> pa.Table:
    classes = encoding.classes
    if classes is None:
        predicted = encoding.predictions(predicted)
        if predicted.shape[1] == 1:
            return pa.table({"prediction": predicted[:, 0].numpy()})
        return pa.table({f"prediction_{i}": p.numpy() for i, p in enumerate(predicted.T)})
    check_classes(loss, predicted, len(classes))
    columns = {"prediction": pa.array([classes[index] for index in predicted.tolist()])}
    probabilities = loss.probabilities(outputs)
    if probabilities is not None:
        if probabilities.shape[1:] != (len(classes),):
            raise UserError(
                f"loss {loss.name}.probabilities: returned shape {tuple(probabilities.shape)}; "
                f"expected a column for each of the {len(classes)} classes"
            )
        for label, column in zip(classes, probabilities.T, strict=True):
            columns[f"probability_{label}"] = pa.array(column.numpy())
    return pa.table(columns)


PARQUET, CSV = (".parquet", ".pq"), (".csv",)
"""Endings of files of predictions."""


def check_output(output: str | Path, data: str | Path | None = None) -> None:
    """Check the ending and the folder of the file to write.

    Args:
        output: the file to write.
        data: the file, the folder or the pattern to read, if any.

    Raises:
        UserError: the ending is neither that of CSV nor that of Parquet, there is no folder, it is
            one of the files to read, or gdframe keeps it in the folder of a run or a sweep.
    """
    require_output(output, (*CSV, *PARQUET))
    files = [] if data is None else _files_of(data)
    refuse_input(output, files, "the file to read" if len(files) == 1 else "a file to read")


def _files_of(data: str | Path) -> list[Path]:
    """Return the files that a path names; none if there are none, which their reader tells."""
    try:
        return files_of(data)
    except UserError:
        return []


def _refuse_training_data(output: str | Path, data: Any) -> None:
    """Refuse a file to write that the model was trained, validated or tested on.

    Args:
        output: the file to write.
        data: key ``data`` of the config of the run.

    Raises:
        UserError: it is one of these files.
    """
    if not Path(output).exists():
        return
    query = data.get("query") if isinstance(data, Mapping) else None
    files = [file for path in files_of_data(data).values() for file in _files_of(path)]
    if isinstance(query, str):
        with suppress(UserError):  # it cannot be parsed here
            files += files_of_query(query)
    refuse_input(output, files, "a file that the run was trained with")


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
