"""The bench: every model at every size, as text, JSON and a picture."""

from __future__ import annotations

import json

import pytest

from tfdistill.serving import as_json, as_text, bench, plot


@pytest.fixture(scope="module")
def timings(base):
    models = {"newest": base, "old": base / "3"}
    return bench(models, sizes=(1, 200), rounds=4)


def test_every_model_is_measured_at_every_size(timings):
    assert [(t.model, t.signature, t.candidates) for t in timings] == [
        ("newest", "packed", 1),
        ("newest", "packed", 200),
        ("old", "packed", 1),
        ("old", "packed", 200),
    ]
    assert all(0 < t.p50 <= t.p99 and t.per_second > 0 for t in timings)


def test_forms_of_the_result(timings, tmp_path):
    assert [line.split()[:3] for line in as_text(timings).splitlines()[1:]] == [
        [t.model, t.signature, str(t.candidates)] for t in timings
    ]
    assert json.loads(as_json(timings))[1]["candidates"] == 200
    plot(timings, tmp_path / "latency.png")
    assert (tmp_path / "latency.png").read_bytes()[:4] == b"\x89PNG"


def test_another_signature_can_be_measured(base):
    (timing,) = bench({"m": base}, sizes=(3,), signature="serving_default", rounds=2)
    assert timing.signature == "serving_default"


def test_what_can_t_be_measured_is_named(base, tmp_path):
    with pytest.raises(ValueError, match="no warm-up request of a signature 'top_k'"):
        bench({"m": base}, signature="top_k")
    with pytest.raises(ValueError, match="no SavedModel in"):
        bench({"m": tmp_path})
    with pytest.raises(ValueError, match=r"sizes=\(0,\)"):
        bench({"m": base}, sizes=(0,))
