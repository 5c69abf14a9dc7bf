"""The real data sets that scikit-learn ships, read from its files.

scikit-learn itself is not imported, because that takes about a second; reading a file takes a few
milliseconds. A test compares each data set with scikit-learn's own loader.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
from pathlib import Path

import numpy as np

from gdframe.data.frame import Column, Frame
from gdframe.data.source import Source
from gdframe.errors import UserError
from gdframe.registry import DATASETS


def _open(name: str) -> io.StringIO:
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise UserError("this data set needs scikit-learn: pip install scikit-learn")
    path = Path(spec.origin).parent / "datasets" / "data" / name
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"scikit-learn's file {path} cannot be read: {error.strerror}") from error
    return io.StringIO((gzip.decompress(raw) if name.endswith(".gz") else raw).decode())


def _labelled(name: str, features: list[str], target: str) -> Frame:
    """Read a file with head ``rows,features,class,class,...`` and labels in the last column."""
    file = _open(name)
    classes = tuple(next(csv.reader(file))[2:])
    table = np.loadtxt(file, delimiter=",")
    columns = [Column(feature) for feature in features]
    return Frame(columns, table[:, :-1], table[:, -1].astype(np.int64), target, classes)


@DATASETS.register("diabetes")
class Diabetes(Source):
    """442 patients, 10 measurements, disease progression after a year (regression).

    Args:
        validation: see ``Source``, as the others.
        test: share of the rows that are measured once.
        fold: which fold validates.
        standardize: whether features are standardised.
        standardize_target: see ``Table``.
        seed: seed of the split.
    """

    def __init__(
        self,
        *,
        validation: float = 0.2,
        test: float = 0.0,
        fold: int | str | None = None,
        standardize: bool = True,
        standardize_target: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(
            validation=validation, test=test, fold=fold, standardize=standardize, seed=seed
        )
        self.standardize_target = standardize_target

    def read(self) -> Frame:
        """Read the raw measurements, in the units of Efron et al. (2004)."""
        names = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
        values = np.loadtxt(_open("diabetes_data_raw.csv.gz"))
        target = np.loadtxt(_open("diabetes_target.csv.gz"))
        return Frame([Column(name) for name in names], values, target, "progression")


@DATASETS.register("breast_cancer")
class BreastCancer(Source):
    """569 tumours, 30 measurements of cell nuclei, malignant or benign (2 classes)."""

    def read(self) -> Frame:
        """Read Wolberg, Street and Mangasarian's Wisconsin diagnostic data (1995)."""
        measures = [
            "radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity",
            "concave points", "symmetry", "fractal dimension",
        ]  # fmt: skip
        features = [f"mean {m}" for m in measures] + [f"{m} error" for m in measures]
        features += [f"worst {m}" for m in measures]
        return _labelled("breast_cancer.csv", features, "diagnosis")


@DATASETS.register("iris")
class Iris(Source):
    """150 flowers, 4 lengths in cm, three species (3 classes)."""

    def read(self) -> Frame:
        """Read Fisher's iris data (1936)."""
        parts = ["sepal length", "sepal width", "petal length", "petal width"]
        return _labelled("iris.csv", [f"{part} (cm)" for part in parts], "species")


@DATASETS.register("wine")
class Wine(Source):
    """178 wines, 13 chemical measurements, three cultivars (3 classes)."""

    def read(self) -> Frame:
        """Read Forina et al.'s wine recognition data (1991)."""
        features = [
            "alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols",
            "flavanoids", "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue",
            "od280/od315_of_diluted_wines", "proline",
        ]  # fmt: skip
        return _labelled("wine_data.csv", features, "cultivar")


@DATASETS.register("digits")
class Digits(Source):
    """1,797 handwritten digits of 8 x 8 pixels from 0 to 16 (10 classes)."""

    def read(self) -> Frame:
        """Read the test part of Alpaydin and Kaynak's optical recognition data (1998)."""
        table = np.loadtxt(_open("digits.csv.gz"), delimiter=",")
        columns = [Column(f"pixel_{i}_{j}") for i in range(8) for j in range(8)]
        classes = tuple(range(10))
        return Frame(columns, table[:, :-1], table[:, -1].astype(np.int64), "digit", classes)
