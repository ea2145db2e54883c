import numpy as np
import pytest

from tfdistill.metrics import (
    agreement_summary,
    cascade_summary,
    head_items,
    metric,
    ranking_summary,
    retrieval_summary,
)
from tfdistill.pairs import Pairs


@pytest.fixture(name="judged")
def fixture_judged():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (30, 8)).astype(float)
    logits, mask = rng.normal(size=(30, 8)), rng.random((30, 8)) < 0.9
    return labels, logits, mask, rng.random((30, 8)) < 0.3


def test_every_name_is_in_the_table_of_metrics(judged):
    labels, logits, mask, head = judged
    top = np.tile(np.arange(50), (30, 1))
    relevant = Pairs(np.arange(30), np.arange(30))
    popular = head_items(np.arange(60)[::-1])
    values = {
        **ranking_summary(labels, logits, np.arange(30), mask=mask, head=head),
        **retrieval_summary(top, relevant, popular),
        **cascade_summary({"recall": top}, relevant, top, popular)["recall"],
        **agreement_summary(logits, logits + 1.0, mask=mask),
    }
    assert all(
        np.isfinite(value) or name == "top_overlap@10" for name, value in values.items()
    )
    assert all(metric(name).text for name in values)


def test_head_and_tail_are_judged_apart(judged):
    labels, logits, mask, head = judged
    all_in = ranking_summary(labels, logits, np.arange(30), mask=mask, head=mask)
    assert all_in["auc_head"] == all_in["auc"]
    assert np.isnan(all_in["auc_tail"])
    values = ranking_summary(labels, logits, np.arange(30), mask=mask, head=head)
    assert values["auc_head"] != values["auc_tail"]


def test_graded_labels_are_judged_by_their_gain_alone():
    """NDCG by hand, gains 2^grade - 1; what needs clicks is undefined."""
    labels, logits = np.array([[2.0, 0.0, 3.0]]), np.array([[3.0, 2.0, 1.0]])
    values = ranking_summary(labels, logits, np.zeros(1, int))
    discounts = 1 / np.log2([2, 3, 4])
    best = 7 * discounts[0] + 3 * discounts[1]
    expected = (3 * discounts[0] + 7 * discounts[2]) / best
    assert values.pop("ndcg@10") == pytest.approx(expected)
    assert np.isnan(list(values.values())).all()
    clicks = ranking_summary(labels > 0, logits, np.zeros(1, int))
    assert values.keys() == clicks.keys() - {"ndcg@10"}


def test_a_cascade_s_stages_are_judged_in_order():
    sets = {"recall": np.array([[1, 2, 3]]), "fine": np.array([[3]])}
    relevant = Pairs([0, 0], [3, 1])
    stages = cascade_summary(sets, relevant, np.array([[3, 9]]), np.arange(9) < 2)
    assert stages["fine"] == {
        "survival": 0.5,
        "survival_head": 0.0,
        "survival_tail": 1.0,
        "overlap": 1.0,
    }
    assert list(stages) == ["recall", "fine"]


def test_directions():
    assert metric("auc").gain(0.8, over=0.7) > 0
    assert metric("log_loss").gain(0.8, over=0.7) < 0
    assert metric("calibration").gain(1.1, over=0.8) > 0
    assert metric("calibration").gain(0.7, over=1.1) < 0


@pytest.mark.parametrize(
    "name", ["acu", "recall", "auc@10", "recall@x", "RECALL@10", ""]
)
def test_unknown_names_are_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match="known are auc, gauc"):
        metric(name)


def test_values_print_with_a_true_minus_and_no_signed_zero():
    assert metric("auc").show(-0.25) == "−0.2500"
    assert metric("auc").show(-0.00001, sign=True) == "0.0000"


def test_missing_values_print_as_a_dash():
    assert metric("auc").show(float("nan")) == "–"
    assert metric("auc").show(0.00123, sign=True) == "+0.0012"
