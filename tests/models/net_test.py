"""A net says what it is for, and an architecture that can't do it is refused."""

from __future__ import annotations

import pytest

from tfdistill.models import Dnn, Net, TwoTower, joint_network
from tfdistill.spec import Feature, FeatureSpec

SPEC = FeatureSpec(
    (Feature("age", "numeric", "user"), Feature("price", "numeric", "item"))
)


def test_a_task_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"one of \['ranking', 'recall'\], got 'rank'"):
        Net(Dnn(), SPEC.names, task="rank")


def test_recall_needs_two_towers():
    with pytest.raises(ValueError, match=r"needs the outputs \['a_query', 'a_item'\]"):
        joint_network(SPEC, {"a": Net(Dnn(), SPEC.names, task="recall")})


def test_two_towers_may_rank_and_say_so():
    towers = Net(TwoTower((4,), dim=3), SPEC.names)
    assert towers.task == "ranking"
    with pytest.raises(ValueError, match="for recall, got one for ranking"):
        towers.require("recall", "The cascade")
    joint_network(SPEC, {"fine": towers})
