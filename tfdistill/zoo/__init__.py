"""Recipes: which nets, which terms of distillation, which settings.

- a cascade: `unified_cascade` of your own features, `movielens_cascade`;
- recall: `recall_from_lists` of a strong teacher, `recall_from_history` where users are
  known by what they took, `recall_from_logits`, `sequence_recall`, the teacher that
  reads the order;
- a powerful teacher: `candidate_ranker`;
- rankers of what recall returns: `rankers_after_recall`;
- coarse ranking: `coarse_from_lists`, `privileged_coarse`;
- fine ranking: `ranking_pair`, `rocket`, `dual_dnn`, `multi_task`, `ensemble_to_dnn`,
  `gbdt_to_dnn`;
- terms over several stages: `stage_objectives`.
"""

from __future__ import annotations

from tfdistill.zoo import (
    candidate_ranker,
    coarse_from_lists,
    dual_dnn,
    ensemble_to_dnn,
    gbdt_to_dnn,
    movielens_cascade,
    multi_task,
    privileged_coarse,
    rankers_after_recall,
    ranking_pair,
    recall_from_history,
    recall_from_lists,
    recall_from_logits,
    rocket,
    sequence_recall,
    stage_objectives,
    unified_cascade,
)
from tfdistill.zoo.recall_from_lists import list_student
from tfdistill.zoo.unified_cascade import cascade

__all__ = [
    "candidate_ranker",
    "cascade",
    "coarse_from_lists",
    "dual_dnn",
    "ensemble_to_dnn",
    "gbdt_to_dnn",
    "list_student",
    "movielens_cascade",
    "multi_task",
    "privileged_coarse",
    "rankers_after_recall",
    "ranking_pair",
    "recall_from_history",
    "recall_from_lists",
    "recall_from_logits",
    "rocket",
    "sequence_recall",
    "stage_objectives",
    "unified_cascade",
]
