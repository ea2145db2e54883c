"""Training: the Distiller, its transfers and teachers that are not trained."""

from tfdistill.trainers.distiller import Distiller
from tfdistill.trainers.teachers import EnsembleTeacher, FrozenTeacher, LoggedTeacher
from tfdistill.trainers.transfer import Schedule, Transfer

__all__ = [
    "Distiller",
    "EnsembleTeacher",
    "FrozenTeacher",
    "LoggedTeacher",
    "Schedule",
    "Transfer",
]
