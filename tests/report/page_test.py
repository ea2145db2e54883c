import dataclasses
import html.parser
import io
import os

import pytest
from matplotlib.image import imread

from tfdistill.report import Data, Results, from_json, plots, to_json, write_report
from tfdistill.report.store import write_whole

PICTURES = {
    "latency_quality.png",
    "cascade.png",
    "calibration.png",
    "training_curves.png",
}
VOID = {"meta", "img"}


class Page(html.parser.HTMLParser):
    """Collects what a page links to, and checks that its tags are closed."""

    def __init__(self, text):
        super().__init__()
        self.links, self.open, self.text = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.links += [v for name, v in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(name="page", scope="module")
def fixture_page(results, tmp_path_factory):
    return write_report(results, tmp_path_factory.mktemp("report") / "new")


def read(path):
    return Page(path.read_text(encoding="utf-8"))


def test_the_page_is_whole_and_needs_nothing_else(page):
    page = read(page)
    assert page.open == []
    assert len(page.links) == len(PICTURES)
    assert all(link.startswith("data:image/png;base64,") for link in page.links)


def test_the_page_says_what_ran_on_what(results, page):
    text = " ".join(read(page).text)
    for said in (
        results.title,
        results.command,
        results.data.source,
        results.data.split,
        results.hardware,
        "1,440 steps and one trial per model",
        results.warnings[0],
        "tensorflow 2.15.1",
        "0, 1, 2",
        "the teacher is not better than the student alone",
        "runs/quickstart/export/fine/1",
        "a fresh Python process without tfdistill",
    ):
        assert said in text


def test_numbers_and_pictures_stand_beside_the_page(results, page):
    names = {path.name for path in page.parent.iterdir()}
    assert names == PICTURES | {"report.html", "results.json"}
    stored = (page.parent / "results.json").read_text(encoding="utf-8")
    assert to_json(from_json(stored)) == to_json(results)


def test_a_file_that_cannot_be_renamed_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    write_whole(path, b"old")

    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_without_stages_is_written_over_an_old_one(tmp_path):
    (tmp_path / "cascade.png").write_bytes(b"of another run")
    data = Data("made up", rows=1, users=1, items=1, split="none", parts=())
    for title in ("old", "<script>alert(1)</script>"):
        path = write_report(Results(title, "run", data, (0, 1)), tmp_path)
    assert "<script>" not in path.read_text(encoding="utf-8")
    assert not (tmp_path / "cascade.png").exists()
    page = read(path)
    assert page.links == []
    assert page.open == []
    assert "Warnings" not in page.text


@pytest.mark.parametrize("seeds", ["results", "one_seed"])
def test_pictures_are_not_blank(seeds, request):
    results = request.getfixturevalue(seeds)
    for png in (
        plots.latency_plot(results),
        plots.cascade_plot(results.cascades),
        plots.calibration_plot(results.calibration),
        plots.curves_plot(results.curves),
    ):
        pixels = imread(io.BytesIO(png))
        assert pixels.shape[1] > 800
        inked = (pixels[..., :3] < 0.9).any(axis=-1)
        assert inked.mean() > 0.005


def test_nothing_to_draw_is_none(results):
    assert plots.latency_plot(dataclasses.replace(results, costs=())) is None
    assert plots.cascade_plot(()) is None
    assert plots.calibration_plot(()) is None
    assert plots.curves_plot({}) is None


def test_undefined_values_are_left_out_of_pictures(results):
    curves = {"loss": [float("nan"), 1.0], "val_loss": [2.0, float("nan")]}
    assert plots.curves_plot(curves)
    model = results.stages[0].models[0]
    broken = dataclasses.replace(
        model, test={**model.test, "ndcg@10": [float("nan")] * 3}
    )
    stage = dataclasses.replace(
        results.stages[0], models=(broken, *results.stages[0].models[1:])
    )
    assert plots.latency_plot(dataclasses.replace(results, stages=(stage,)))
