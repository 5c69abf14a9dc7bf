"""The data sets of a sweep's runs, each loaded once as far as memory allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from gdframe.config.load_data import load_data, needs_no_data
from gdframe.data.dataset import Dataset
from gdframe.data.frame import Frame
from gdframe.data.source import Source
from gdframe.memory import free_memory

SHARE = 0.25
"""Share of the free memory that data sets may fill before others are loaded, and raw data."""


class Datasets:
    """Loads data sets, and caches the most recently used.

    Raw data that were read twice, as folds of one table are, are cached until others are read.
    """

    def __init__(self) -> None:
        self._cache: dict[str, Dataset] = {}
        self._last_read = ""
        self._frame: Frame | None = None

    def load(self, config: Mapping[str, Any]) -> Dataset:
        """Return the data that a config names, on the CPU."""
        key = self.key(config)
        dataset = self._cache.pop(key, None)
        if dataset is None:
            while self._cache and self._bytes > SHARE * free_memory():
                del self._cache[next(iter(self._cache))]
            dataset = load_data(config, partial(self._read, config["data"]))
        self._cache[key] = dataset  # moves it to the end
        return dataset

    def _read(self, settings: Mapping[str, Any], source: Source) -> Frame:
        """Return the raw data of a built-in source."""
        key = repr({k: v for k, v in settings.items() if k not in source.not_read})
        if key != self._last_read:
            self._last_read, self._frame = key, None
            return source.read()
        if self._frame is None:
            frame = replace(source.read(), disposable=False)
            if frame.nbytes > SHARE * free_memory():
                return frame
            self._frame = frame
        return self._frame

    @property
    def _bytes(self) -> int:
        return sum(t.nbytes for data in self._cache.values() for t in data.tensors)

    @staticmethod
    def key(config: Mapping[str, Any]) -> str:
        """Return the settings that identify the data of a config."""
        data = None if needs_no_data(config) else config["data"]
        return repr((data, config["dtype"]))
