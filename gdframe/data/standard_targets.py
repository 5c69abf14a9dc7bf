"""Targets on the scale of their deviation, for training that depends on the scale of targets."""

from __future__ import annotations

from dataclasses import replace

import torch

from gdframe.data.dataset import Dataset
from gdframe.data.preparation import with_notes
from gdframe.data.rows import Rows
from gdframe.errors import in_words, printable


def with_standard_targets(data: Dataset, *, centre: bool) -> Dataset:
    """Return data whose targets have deviation 1 over the training rows.

    Several outputs have the same factor, so that an error in one weighs as much as in another, as
    in the units of the targets. Targets that do not vary stay as they are. The result is made once
    for each data set.

    Args:
        data: with targets that are numbers.
        centre: whether targets get mean 0, too.
    """
    key = ("standard targets", centre)
    if key not in data.results:
        data.results[key] = _standardized(data, centre=centre)
    result: Dataset = data.results[key]
    return result


def _standardized(data: Dataset, *, centre: bool) -> Dataset:
    targets = data.train.targets.double()
    mean = targets.mean(dim=0)
    deviation = float((targets - mean).square().mean().sqrt())
    if not deviation > 8 * torch.finfo(torch.float64).eps * float(mean.abs().max()):
        return data
    subtracted = mean if centre else torch.zeros_like(mean)

    def transform(rows: Rows) -> Rows:
        values = (rows.targets.double() - subtracted) / deviation
        return replace(rows, targets=values.to(rows.targets.dtype))

    before = data.encoding
    offset = before.shift + before.target_scale * subtracted.cpu().numpy()
    encoding = replace(
        before,
        offset=tuple(offset.tolist()) if centre else before.offset,
        target_scale=before.target_scale * deviation,
    )
    name, size = printable(encoding.target_name), f"{encoding.target_scale:.4g}"
    how = f"divided by its deviation, {size},"
    if centre:
        means = in_words(f"{value:.4g}" for value in encoding.offset)
        how = f"standardised (mean {means}, deviation {size})"
    note = (
        f"target '{name}' is {how} for training: lr, penalties and clip_norm count on that scale; "
        "losses, metrics and predictions are in its units"
    )
    result = replace(
        data,
        train=transform(data.train),
        validation=data.validation and transform(data.validation),
        test=data.test and transform(data.test),
        encoding=encoding,
        facts=with_notes(data.facts, [note]),
        notes=[*data.notes, note],
    )
    vars(result)["digest"] = data.digest  # of the same rows
    return result
