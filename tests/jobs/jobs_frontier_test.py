"""Funnels over the sizes of their stages: judged, exported, measured."""

from __future__ import annotations

import numpy as np
import pytest
from zoo_fixture import SPEC, requests

from tfdistill.jobs.frontier import Funnel, swept
from tfdistill.metrics import retrieval_ndcg, run_cascade, size_grid
from tfdistill.metrics.cascade import Reranker
from tfdistill.models import Dnn, Net, TwoTower, joint_network
from tfdistill.pairs import Pairs
from tfdistill.study.evaluators import CatalogueEvaluator
from tfdistill.study.trained import TrainedNet, taken_out


@pytest.fixture(scope="module")
def nets() -> dict[str, TrainedNet]:
    served = SPEC.non_privileged().names
    network = joint_network(
        SPEC,
        {
            "recall": Net(TwoTower((), dim=4), served, task="recall"),
            "fine": Net(Dnn((4,)), served),
            "teacher": Net(Dnn((64, 64)), SPEC.names),
        },
    )
    return {name: taken_out(network, name, SPEC, {}) for name in network.nets}


def test_every_funnel_is_judged_and_served_at_all_sizes(nets, tmp_path):
    part = requests()
    seen = Pairs([], [], 30)
    evaluator = CatalogueEvaluator(part, seen, np.arange(30) < 6)
    fine = {"fine": nets["fine"]}
    funnels = {
        "recall alone": Funnel(nets["recall"], {}, size_grid([10])),
        "students": Funnel(nets["recall"], fine, size_grid([12, 20], [10])),
        "teacher over recall": Funnel(
            nets["recall"], {"teacher": nets["teacher"]}, [(20, 10)]
        ),
    }
    curves = swept(funnels, evaluator, SPEC, tmp_path, rounds=2)
    assert [point.sizes for point in curves["students"]] == [(12, 10), (20, 10)]
    recaller = nets["recall"].recaller(part)
    for point in curves["students"]:
        first, page = point.sizes
        ranker = evaluator.for_users(nets["fine"].ranker(part))
        sets = run_cascade(
            evaluator.recalled(recaller, first), [Reranker("fine", ranker, page)]
        )
        quality = retrieval_ndcg(sets["fine"], evaluator.relevant, 10).value
        assert point.quality == pytest.approx(quality)
        mflops = nets["recall"].mflops(30, 0) + nets["fine"].mflops(30, first)
        assert point.cost.mflops == pytest.approx(mflops)
    (alone,), (teacher,) = curves["recall alone"], curves["teacher over recall"]
    top = evaluator.recalled(recaller, 10)
    assert alone.quality == retrieval_ndcg(top, evaluator.relevant, 10).value
    assert 0 < alone.cost.mflops < curves["students"][1].cost.mflops
    assert curves["students"][1].cost.mflops < teacher.cost.mflops
    measured = [point.cost.p50_ms for points in curves.values() for point in points]
    assert min(measured) > 0.0


def test_a_funnel_is_judged_by_any_quality_of_its_pages(nets, tmp_path):
    evaluator = CatalogueEvaluator(requests(), Pairs([], [], 30), np.arange(30) < 6)
    funnels = {"recall alone": Funnel(nets["recall"], {}, size_grid([10]))}
    curves = swept(
        funnels, evaluator, SPEC, tmp_path, quality=lambda page: page.sum(), rounds=1
    )
    top = nets["recall"].top(evaluator, 10)
    assert curves["recall alone"][0].quality == top.sum()


def test_clicks_of_random_traffic_may_say_what_is_relevant():
    nothing, head = Pairs([], [], 30), np.arange(30) < 6
    part = requests()
    user, other = np.unique(part.group)[1], part.group.max() + 1
    clicks = Pairs([user, user, other], [4, 29, 2], 30)
    evaluator = CatalogueEvaluator(part, nothing, head, relevant=clicks)
    assert evaluator.relevant.user.tolist() == [1, 1]
    assert evaluator.relevant.item.tolist() == [4, 29]
    top = np.tile(np.arange(50) % 30, (len(evaluator.first), 1))
    top[:, 30:] = -1
    assert evaluator.retrieval(top)["recall@50"] == 1.0
    by_labels = CatalogueEvaluator(part, nothing, head)
    np.testing.assert_array_equal(by_labels.labels()[0], evaluator.labels()[0])
    with pytest.raises(ValueError, match="none of the 1 relevant pairs"):
        CatalogueEvaluator(part, nothing, head, relevant=Pairs([other], [2], 30))
