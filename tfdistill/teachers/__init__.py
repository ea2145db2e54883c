"""Teachers of other kinds than a network, as a source of logged scores."""

from __future__ import annotations

from tfdistill.teachers.columns import Columns, Encoding
from tfdistill.teachers.gbdt import GbdtTeacher

__all__ = ["Columns", "Encoding", "GbdtTeacher"]
