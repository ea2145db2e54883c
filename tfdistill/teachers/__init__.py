"""Teachers of other kinds than a network of ours."""

from __future__ import annotations

from tfdistill.teachers.columns import Columns, Encoding
from tfdistill.teachers.gbdt import GbdtTeacher
from tfdistill.teachers.pairs import PairTeacher
from tfdistill.teachers.saved_model import SavedModelTeacher

__all__ = ["Columns", "Encoding", "GbdtTeacher", "PairTeacher", "SavedModelTeacher"]
