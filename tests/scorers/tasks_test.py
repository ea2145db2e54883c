"""Teachers that are no nets, judged at lists: their scores are what is judged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tfdistill import Problem
from tfdistill.scorers import Baseline, Popular
from tfdistill.study import StoredScores
from tfdistill.study.evaluators import ListEvaluator


@pytest.fixture(scope="module")
def problem():
    frame = pd.DataFrame(
        {"user": np.arange(60) // 10, "film": np.arange(60) * 7 % 12, "when": range(60)}
    )
    return Problem.from_interactions(frame, user="user", item="film", time="when")


def test_a_baseline_of_lists_is_judged_by_its_scores_of_the_candidates(problem):
    requests, log = problem.test.requests, problem.interaction_log
    found = Baseline(log, Popular()).scores(requests)
    known = log.before(2.0)
    counts = np.bincount(known.item, minlength=log.num_items)
    listed = requests.candidates >= 0
    order = np.argsort(counts[requests.candidates[listed]], kind="stable")
    assert np.all(np.diff(found[listed][order]) >= 0)
    assert np.isnan(found[~listed]).all()
    judged = Baseline(log, Popular()).metrics(problem.test, "ranking")
    assert judged == pytest.approx(problem.test.ranking(found), nan_ok=True)


def test_stored_scores_of_lists_are_refused_at_recall(problem):
    with pytest.raises(ValueError, match="can't be judged at recall"):
        StoredScores("mine").metrics(ListEvaluator(problem.test.requests), "recall")
