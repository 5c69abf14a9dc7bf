"""Schedules: the factor of the learning rate as a function of the step."""

from gdframe.schedules.base import Clock, Schedule
from gdframe.schedules.constant import Constant
from gdframe.schedules.cosine import Cosine
from gdframe.schedules.exponential import Exponential
from gdframe.schedules.inverse_time import InverseTime
from gdframe.schedules.step import Step
from gdframe.schedules.warmup import Warmup

__all__ = [
    "Clock",
    "Constant",
    "Cosine",
    "Exponential",
    "InverseTime",
    "Schedule",
    "Step",
    "Warmup",
]
