import math

import numpy as np
import pytest

from tfdistill.metrics import calibration_ratio, reliability


def clicks(seed, size, shift=0.0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1.0, 1.5, size)
    labels = (rng.random(size) < 1 / (1 + np.exp(-logits))).astype(float)
    return labels, logits + shift


def test_calibrated_clicks_have_a_ratio_of_one_and_a_small_error():
    labels, logits = clicks(0, 200_000)
    assert calibration_ratio(labels, logits) == pytest.approx(1.0, abs=0.01)
    assert reliability(labels, logits).error < 0.005
    high, _ = labels, logits
    assert calibration_ratio(high, logits + 0.5) > 1.2
    assert reliability(high, logits + 0.5).error > 0.05


def test_bins_equal_the_loop_over_sorted_parts():
    labels, logits = clicks(1, 1_000)
    bins = reliability(labels, logits, bins=8)
    order = np.argsort(logits)
    error = 0.0
    for b, rows in enumerate(np.split(order, 8)):
        predicted = np.mean([1 / (1 + math.exp(-logits[i])) for i in rows])
        observed = np.mean([labels[i] for i in rows])
        assert bins.predicted[b] == pytest.approx(predicted)
        assert bins.observed[b] == pytest.approx(observed)
        assert bins.count[b] == len(rows)
        error += len(rows) / 1_000 * abs(predicted - observed)
    assert bins.error == pytest.approx(error)


def test_equal_predictions_share_a_bin_whatever_their_order():
    labels = np.array([1, 1, 0, 0, 0, 0, 0, 1])
    logits = np.zeros(8)
    bins = reliability(labels, logits, bins=4)
    assert bins.count.tolist() == [8]
    assert bins.observed.tolist() == [3 / 8]
    assert bins.error == pytest.approx(1 / 8)


def test_masked_entries_do_not_count():
    labels, logits = np.array([[1.0, np.nan]]), np.array([[0.0, np.nan]])
    mask = np.array([[True, False]])
    assert calibration_ratio(labels, logits, mask=mask) == 0.5
    assert reliability(labels, logits, mask=mask).count.tolist() == [1]


def test_nothing_to_judge_is_nan():
    assert math.isnan(calibration_ratio(np.zeros(3), np.zeros(3)))
    empty = reliability(np.zeros(0), np.zeros(0))
    assert empty.count.size == 0
    assert math.isnan(empty.error)


def test_extreme_logits_are_exact():
    bins = reliability(np.array([0, 1]), np.array([-1e4, 1e4]), bins=2)
    assert bins.predicted.tolist() == [0.0, 1.0]


def test_wrong_inputs_are_named():
    with pytest.raises(ValueError, match="NaN"):
        calibration_ratio(np.ones(1), np.array([np.nan]))
    with pytest.raises(ValueError, match="0 or 1, got 0.5"):
        reliability(np.array([0.5]), np.zeros(1))
    with pytest.raises(ValueError, match="`bins` must be at least 1, got 0"):
        reliability(np.ones(1), np.zeros(1), bins=0)
