"""The rows of the recall benchmark: students of ranking lists, and what bounds them.

A student's row is a recipe of `zoo.recall_from_lists` with 8 trials; the others are
teachers and the truncated SVD of a teacher's scores, which need none.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

from tfdistill.zoo.recall_from_lists import BASES, FORMS, Base, Form


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        kind: `"student"`, `"teacher"` or `"svd"`.
        teacher: Which teacher gives the lists, or is judged.
        form: How the student learns from the lists; None for a student alone.
        base: The student's loss on its labels.
        hint: Which teacher's vectors the student learns too; "" for none.
        width: Of the student's vectors, where it isn't the set's.
        ordered: Whether only sets with an order in time have the row.
    """

    kind: str = "student"
    teacher: str = ""
    form: Form | None = None
    base: Base = BASES["softmax"]
    hint: str = ""
    width: int = 0
    ordered: bool = False

    @property
    def trials(self) -> Mapping[str, Mapping[str, float]]:
        """8 trials for every student: a taught one has weights for learning rates.

        The rate falls from the start by a cosine, `rows_l2` is of the gathered rows of
        the tables, and `weight` a factor of the form's own weight of the lists.
        """
        penalties = (3e-5, 1e-4, 3e-4, 1e-3)
        if self.kind != "student":
            return {}
        if self.form is None:
            grid = itertools.product((5e-2, 1e-1), penalties, (1.0,))
        else:
            grid = itertools.product((1e-1,), penalties, (1.0, 0.25))
        names = ("learning_rate", "rows_l2", "weight")
        return {f"trial-{n}": dict(zip(names, x)) for n, x in enumerate(grid)}


def _taught(form: str, teacher: str = "EASE", **options: Any) -> Row:
    return Row("student", teacher, FORMS[form], FORMS[form].base, **options)


WIDE = "alone, width 128"
"""A student without a teacher that is wide enough to be one, as `wide`."""

ROWS: dict[str, Row] = {
    "EASE": Row("teacher", "EASE"),  # by the newest items first, where they are known
    "EASE, all items alike": Row("teacher", "EASE, all items alike", ordered=True),
    "SASRec": Row("teacher", "SASRec", ordered=True),
    "EASE + SASRec": Row("teacher", "EASE + SASRec", ordered=True),
    "LightGCN": Row("teacher", "LightGCN"),
    "EASE + LightGCN": Row("teacher", "EASE + LightGCN"),
    "EASE + LightGCN + wide": Row("teacher", "EASE + LightGCN + wide"),
    "SVD of EASE": Row("svd", "EASE"),
    WIDE: Row(width=128),
    "alone, softmax": Row(),
    "alone, BPR": Row(base=BASES["bpr"]),
    "rank-weighted": _taught("rank-weighted"),
    "rank-weighted, two scales": _taught("rank-weighted, two scales"),
    "two scales, EASE + LightGCN": _taught(
        "rank-weighted, two scales", "EASE + LightGCN"
    ),
    "two scales, EASE + LightGCN + wide": _taught(
        "rank-weighted, two scales", "EASE + LightGCN + wide"
    ),
    "RRD": Row(teacher="EASE", form=dataclasses.replace(FORMS["RRD"], weight=1.0)),
    "RRD, EASE + LightGCN": _taught("RRD", "EASE + LightGCN"),  # four times the weight
    "RRD, EASE + SASRec": _taught("RRD", "EASE + SASRec", ordered=True),
    "RRD and hint, EASE + LightGCN + wide": _taught(
        "RRD", "EASE + LightGCN + wide", hint="wide"
    ),
    "list KL": _taught("list KL"),
    "point-wise": _taught("point-wise"),
    "point-wise, by rank": _taught("point-wise, by rank"),
    "pair-wise": _taught("pair-wise"),
    "NDCG": _taught("NDCG"),
}

BASELINES = ("alone, softmax", "alone, BPR")
"""The students without a teacher; gains are over the one that is better on test."""
