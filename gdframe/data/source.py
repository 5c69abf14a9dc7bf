"""The base class of data sources, with the settings that all sources share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch

from gdframe.data.dataset import Dataset
from gdframe.data.frame import Frame
from gdframe.data.split import Split
from gdframe.errors import UserError


class Source(ABC):
    """Base class of data sources; a subclass defines ``read``.

    Args:
        validation: share of the rows held out, in [0, 1).
        test: share of the rows that are measured once, at the end, in [0, 1).
        fold: which fold of a cross-validation validates: ``2/10`` is number 2 of ten, counted from
            0; a number alone is one of five.
        standardize: whether each feature gets mean 0 and deviation 1, fitted on training rows.
        seed: seed of the split, and of the draws of a synthetic source. It is separate from the
            run's seed, so that runs with different seeds train on the same data.

    Example:
        >>> from gdframe.data import Iris
        >>> data = Iris(validation=0.2).load()
        >>> data.rows, data.features, data.classes
        (120, 4, ('setosa', 'versicolor', 'virginica'))
    """

    missing: Literal["error", "mean", "drop"] = "error"

    not_read: ClassVar[tuple[str, ...]] = ("validation", "test", "fold", "standardize")
    """Settings that ``read`` does not depend on."""

    def __init__(
        self,
        *,
        validation: float = 0.2,
        test: float = 0.0,
        fold: int | str | None = None,
        standardize: bool = True,
        seed: int = 0,
    ) -> None:
        self.split = Split(validation, test, fold, seed=seed)
        self.standardize, self.seed = standardize, seed

    @abstractmethod
    def read(self) -> Frame:
        """Return the raw data, read from a file or generated."""

    def load(
        self,
        *,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        frame: Frame | None = None,
    ) -> Dataset:
        """Return the data, split and preprocessed, as tensors of ``dtype`` on ``device``.

        Args:
            dtype: type of the tensors.
            device: device of the tensors.
            frame: the raw data, if they have been read before.

        Raises:
            UserError: the data cannot be read or used.
        """
        frame = self.read() if frame is None else frame
        if not isinstance(frame, Frame):
            raise UserError(
                f"{type(self).__name__}.read: returned a {type(frame).__name__}; expected a "
                "gdframe.Frame"
            )
        data = Dataset.of_frame(
            frame,
            split=self.split,
            standardize=self.standardize,
            missing=self.missing,
            dtype=dtype,
            device=device,
        )
        return self._with_other_rows(data, dtype, device)

    def _with_other_rows(self, data: Dataset, dtype: torch.dtype, device: str) -> Dataset:
        """Return the data with the parts that are not rows of the frame, if there are any."""
        return data
