"""The plots of whole cascades: a picture of each, with every name in it."""

import io

import pytest
from matplotlib.axes import Axes
from matplotlib.image import imread

from tfdistill.metrics import FunnelPoint, RequestCost
from tfdistill.report import ALONE, DISTILLED, CascadeStage
from tfdistill.report.plots import frontier_plot, funnel_plot
from tfdistill.report.tables import frontier_table

CURVES = {
    "distilled cascade": [
        FunnelPoint((50, 20, 10), 0.08, RequestCost(0.4, 3.1)),
        FunnelPoint((200, 20, 10), 0.07, RequestCost(0.9, 3.0)),
    ],
    "teacher over recall": [FunnelPoint((50, 10), 0.09, RequestCost(7.5, 9.0))],
}


def funnel(*shares):
    stages = zip(("recall", "coarse", "fine"), (500, 100, 10), shares)
    return [CascadeStage(n, k, {"survival": [s, s - 0.02]}) for n, k, s in stages]


@pytest.fixture
def labels(monkeypatch):
    """Labels of the lines that are drawn."""
    found = []
    for name in ("plot", "errorbar"):
        drawn = getattr(Axes, name)

        def recorded(self, *args, drawn=drawn, **options):
            found.append(options.get("label"))
            return drawn(self, *args, **options)

        monkeypatch.setattr(Axes, name, recorded)
    return found


def test_a_funnel_has_a_line_for_each_cascade(labels):
    funnels = {ALONE: funnel(0.7, 0.4, 0.1), DISTILLED: funnel(0.7, 0.5, 0.2)}
    picture = funnel_plot({**funnels, "joint": funnel(0.8, 0.5, 0.3)})
    assert imread(io.BytesIO(picture)).ndim == 3
    assert [text for text in labels if text and not text.startswith("_")] == [
        "Student alone: 9.0%",
        "Student distilled: 19.0%",
        "Joint: 29.0%",
    ]
    assert funnel_plot({}) is None


def test_a_frontier_is_drawn_by_flops_and_by_latency(labels):
    assert imread(io.BytesIO(frontier_plot(CURVES, "ndcg@10"))).ndim == 3
    assert labels.count("Distilled cascade") == 2
    assert frontier_plot({"none": []}, "ndcg@10") is None


def test_the_table_says_by_what_sizes_are_worth_their_cost():
    table = frontier_table(CURVES, "ndcg@10")
    texts = [[cell.text for cell in row] for row in table.rows]
    assert texts == [
        ["Distilled cascade"],
        ["50 > 20 > 10", "0.0800", "0.40", "3.10", "FLOPs, latency"],
        ["200 > 20 > 10", "0.0700", "0.90", "3.00", "latency"],
        ["Teacher over recall"],
        ["50 > 10", "0.0900", "7.50", "9.00", "FLOPs, latency"],
    ]
