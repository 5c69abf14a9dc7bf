"""Observers: they watch a run through four events and cannot change it."""

from gdframe.observers.base import Observer, Watched
from gdframe.observers.checkpoint import Checkpoint
from gdframe.observers.csv_history import CSVHistory
from gdframe.observers.mlflow_run import MLflow
from gdframe.observers.progress import ProgressBar, preparing
from gdframe.observers.tensorboard import TensorBoard

__all__ = [
    "CSVHistory",
    "Checkpoint",
    "MLflow",
    "Observer",
    "ProgressBar",
    "TensorBoard",
    "Watched",
    "preparing",
]
