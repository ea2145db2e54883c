"""Training: Distiller, transfers, teachers that are not trained, resumable fit."""

from tfdistill.trainers.callbacks import (
    Evaluation,
    SubmodelCheckpoint,
    SubmodelEarlyStopping,
)
from tfdistill.trainers.derived import Derived, Kept, Survival
from tfdistill.trainers.distiller import Distiller
from tfdistill.trainers.existing import distill
from tfdistill.trainers.fit import fit
from tfdistill.trainers.teachers import EnsembleTeacher, FrozenTeacher, LoggedTeacher
from tfdistill.trainers.transfer import Transfer, Weight

__all__ = [
    "Derived",
    "Distiller",
    "EnsembleTeacher",
    "Evaluation",
    "FrozenTeacher",
    "Kept",
    "LoggedTeacher",
    "SubmodelCheckpoint",
    "SubmodelEarlyStopping",
    "Survival",
    "Transfer",
    "Weight",
    "distill",
    "fit",
]
