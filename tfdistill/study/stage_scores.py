"""The score of an earlier stage of a cascade, as a feature of what comes after it."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tfdistill.data.requests import Requests
from tfdistill.layers.standing import standing
from tfdistill.spec import FeatureSpec
from tfdistill.study.evaluators import DotRanker, Ranker

__all__ = ["StageScores", "with_stage"]

_AT_ONCE = 256
_LOWEST = np.finfo(np.float32).min


@dataclasses.dataclass(frozen=True, eq=False)
class StageScores:
    """How any item stands with a stage, by request: see `layers.standing`.

    Args:
        ranker: The stage's net.
        passed: Its scores of the items that it passes on, float32 `[R, K]`, best first,
            the lowest float where there are fewer.
    """

    ranker: Ranker | DotRanker
    passed: np.ndarray

    def __call__(self, rows: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Returns z-score and log rank `[b, N, 2]` of items `[b, N]`."""
        scores = tf.constant(self.ranker(rows, items))
        return np.asarray(standing(scores, tf.constant(self.passed[rows])))


def with_stage(
    requests: Requests,
    spec: FeatureSpec,
    stage: str,
    ranker: Ranker | DotRanker,
    rows: np.ndarray,
    items: np.ndarray,
) -> Requests:
    """Returns the requests with the features of a stage, if the spec has any.

    Args:
        requests: The requests.
        spec: All features.
        stage: The name of the stage in these features.
        ranker: The stage's net over the requests.
        rows: `[S]`, the requests that were asked for.
        items: `[S, K]`, what the stage passes on for them, best first, -1 padded.
    """
    names = [feature.name for feature in spec.scope("pair") if feature.stage == stage]
    if not names:
        return requests
    scores = np.full((requests.num_requests, items.shape[1]), _LOWEST, np.float32)
    for begin in range(0, len(rows), _AT_ONCE):
        some = slice(begin, begin + _AT_ONCE)
        found = ranker(rows[some], np.maximum(items[some], 0))
        scores[rows[some]] = np.where(items[some] >= 0, found, _LOWEST)
    source = StageScores(ranker, scores)
    return requests.with_pair_sources(dict.fromkeys(names, source))
