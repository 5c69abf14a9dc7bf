"""Data: where rows come from, how they are split and preprocessed."""

from gdframe.data.bundled import BreastCancer, Diabetes, Digits, Iris, Wine
from gdframe.data.dataset import Dataset
from gdframe.data.encoding import Encoding
from gdframe.data.frame import Column, Frame
from gdframe.data.rows import Rows
from gdframe.data.source import Source
from gdframe.data.split import Split
from gdframe.data.synthetic import Classification, Regression
from gdframe.data.table import Table

__all__ = [
    "BreastCancer",
    "Classification",
    "Column",
    "Dataset",
    "Diabetes",
    "Digits",
    "Encoding",
    "Frame",
    "Iris",
    "Regression",
    "Rows",
    "Source",
    "Split",
    "Table",
    "Wine",
]
