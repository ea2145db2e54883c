"""Exact offline metrics in numpy: ranking, calibration, retrieval, cascade, agreement.

All take arrays, masks where lists are padded, and reject NaN where a value counts.
`*_summary` gives all metrics of one kind of model, by the names of `METRICS`.
"""

from __future__ import annotations

from tfdistill.metrics.agreement import logit_rmse, spearman, top_k_overlap
from tfdistill.metrics.calibration import Reliability, calibration_ratio, reliability
from tfdistill.metrics.cascade import (
    Regret,
    Reranker,
    TeacherOverlap,
    regret,
    rerank,
    run_cascade,
    set_overlap,
    survival,
    teacher_overlap,
)
from tfdistill.metrics.checks import Mean
from tfdistill.metrics.frontier import (
    FunnelPoint,
    Price,
    RequestCost,
    cheapest,
    pareto,
    size_grid,
    sweep,
)
from tfdistill.metrics.ranking import auc, gauc, log_loss, mrr, ndcg_at_k, recall_at_k
from tfdistill.metrics.retrieval import (
    dot_scores,
    head_items,
    hits,
    retrieval_ndcg,
    retrieval_recall,
    scored_top_k,
    top_k,
)
from tfdistill.metrics.summary import (
    OF_LOG_ODDS,
    agreement_summary,
    cascade_summary,
    ranking_summary,
    retrieval_summary,
)
from tfdistill.metrics.table import METRICS, Metric, metric

__all__ = [
    "OF_LOG_ODDS",
    "METRICS",
    "FunnelPoint",
    "Mean",
    "Metric",
    "Price",
    "Regret",
    "Reliability",
    "RequestCost",
    "Reranker",
    "TeacherOverlap",
    "agreement_summary",
    "auc",
    "calibration_ratio",
    "cascade_summary",
    "cheapest",
    "dot_scores",
    "pareto",
    "gauc",
    "head_items",
    "hits",
    "log_loss",
    "logit_rmse",
    "metric",
    "mrr",
    "ndcg_at_k",
    "ranking_summary",
    "recall_at_k",
    "regret",
    "reliability",
    "rerank",
    "retrieval_ndcg",
    "retrieval_recall",
    "retrieval_summary",
    "run_cascade",
    "scored_top_k",
    "set_overlap",
    "size_grid",
    "spearman",
    "survival",
    "sweep",
    "teacher_overlap",
    "top_k",
    "top_k_overlap",
]
