import math

import numpy as np
import pandas as pd
import pytest

from tfdistill.metrics import logit_rmse, spearman, top_k_overlap


def lists():
    rng = np.random.default_rng(0)
    student = rng.integers(0, 6, (20, 9)).astype(float)
    teacher = student + rng.integers(-2, 3, (20, 9))
    mask = rng.random((20, 9)) < 0.7
    mask[0], mask[1, 1:] = False, False
    teacher[2] = 1.0
    return student, teacher, mask


def test_spearman_equals_pearson_of_mean_ranks():
    student, teacher, mask = lists()
    values = []
    for s, t, m in zip(student, teacher, mask):
        ours, theirs = pd.Series(s[m]).rank(), pd.Series(t[m]).rank()
        if ours.nunique() > 1 and theirs.nunique() > 1:
            values.append(np.corrcoef(ours, theirs)[0, 1])
    mean = spearman(student, teacher, mask=mask)
    assert mean.value == pytest.approx(np.mean(values), abs=1e-12)
    assert mean.over == len(values) < 20


def test_overlap_equals_the_loop_over_lists_longer_than_k():
    student, teacher, mask = lists()
    values = []
    for s, t, m in zip(student, teacher, mask):
        if m.sum() > 3:
            valid = np.flatnonzero(m)
            ours = sorted(valid, key=lambda i, s=s: (-s[i], i))[:3]
            theirs = sorted(valid, key=lambda i, t=t: (-t[i], i))[:3]
            values.append(len(set(ours) & set(theirs)) / 3)
    mean = top_k_overlap(student, teacher, 3, mask=mask)
    assert mean.value == pytest.approx(np.mean(values))
    assert mean.over == len(values) < 20


def test_rmse_sees_a_shift_that_ranks_do_not():
    student, teacher = np.array([[0.0, 1.0, np.nan]]), np.array([[3.0, 4.0, np.nan]])
    mask = np.array([[True, True, False]])
    assert logit_rmse(student, teacher, mask=mask) == 3.0
    assert spearman(student, teacher, mask=mask).value == pytest.approx(1.0)
    assert spearman(-student, teacher, mask=mask).value == pytest.approx(-1.0)


def test_nothing_to_compare_is_nan():
    scores, mask = np.zeros((2, 3)), np.zeros((2, 3), bool)
    assert math.isnan(logit_rmse(scores, scores, mask=mask))
    assert spearman(scores, scores).over == 0
    assert top_k_overlap(scores, scores, 3).over == 0
    assert top_k_overlap(np.zeros((0, 3)), np.zeros((0, 3)), 1).over == 0


def test_nan_and_wrong_shapes_are_refused():
    good, bad = np.zeros((1, 2)), np.array([[np.nan, 0.0]])
    for judge in (spearman, logit_rmse):
        with pytest.raises(ValueError, match="must not be NaN"):
            judge(good, bad)
        with pytest.raises(ValueError, match="must have shape"):
            judge(good, np.zeros((1, 3)))
