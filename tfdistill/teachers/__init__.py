"""Teachers of other kinds than a network of ours."""

from __future__ import annotations

from tfdistill.teachers.columns import Columns, Encoding
from tfdistill.teachers.ease import Ease, tuned_ease
from tfdistill.teachers.fusion import fused_scores
from tfdistill.teachers.gbdt import GbdtTeacher
from tfdistill.teachers.lightgcn import GraphEmbeddings, lightgcn_vectors
from tfdistill.teachers.pairs import PairTeacher
from tfdistill.teachers.rescoring import rescored_lists
from tfdistill.teachers.saved_model import SavedModelTeacher

__all__ = [
    "Columns",
    "Ease",
    "Encoding",
    "GbdtTeacher",
    "GraphEmbeddings",
    "PairTeacher",
    "SavedModelTeacher",
    "fused_scores",
    "lightgcn_vectors",
    "rescored_lists",
    "tuned_ease",
]
