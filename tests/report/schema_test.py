import dataclasses
import json
import math

import pytest

from tfdistill.report import (
    ALONE,
    TEACHER,
    CalibrationBins,
    Cascade,
    Model,
    Stage,
    from_json,
    over_seeds,
    to_json,
)


def test_results_survive_json(results):
    again = from_json(to_json(results))
    assert to_json(again) == to_json(results)
    assert again.stages[0].get(ALONE) == results.stages[0].get(ALONE)
    assert again.cascades == results.cascades


def test_undefined_values_are_null_in_json(results):
    model = Model(TEACHER, {"auc": [math.nan] * 3}, {"auc": [0.5] * 3})
    results = dataclasses.replace(results, stages=(Stage("fine", "auc", (model,)),))
    text = to_json(results)
    assert json.loads(text)["stages"][0]["models"][0]["validation"]["auc"] == [None] * 3
    value = from_json(text).stages[0].models[0].validation["auc"][0]
    assert math.isnan(value)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"data": 3}', '{"title": "x"'])
def test_other_files_are_refused(text):
    with pytest.raises(ValueError, match="not a run's results"):
        from_json(text)


def test_an_unknown_field_is_refused(results):
    plain = {**json.loads(to_json(results)), "surprise": 1}
    with pytest.raises(ValueError, match="surprise"):
        from_json(json.dumps(plain))


def test_a_metric_needs_one_value_per_seed_but_a_teacher_may_have_one(results):
    def stage(name, count):
        values = {"auc": [0.5] * count}
        return (Stage("fine", "auc", (Model(name, values, values),)),)

    dataclasses.replace(results, stages=stage(TEACHER, 1))
    with pytest.raises(ValueError, match=r"one value per seed \(3\), got 1"):
        dataclasses.replace(results, stages=stage(ALONE, 1))
    with pytest.raises(ValueError, match=r"one value per seed \(3\), got 2"):
        dataclasses.replace(results, stages=stage(TEACHER, 2))


def test_wrong_names_are_refused():
    with pytest.raises(ValueError, match="got 'pupil'"):
        Model("pupil", {}, {})
    with pytest.raises(ValueError, match="No metric is called 'acu'"):
        Model(TEACHER, {"acu": [0.5]}, {})
    model = Model(TEACHER, {"auc": [0.5]}, {"auc": [0.5]})
    with pytest.raises(ValueError, match="'gauc', which 'teacher' lacks"):
        Stage("fine", "gauc", (model,))
    with pytest.raises(ValueError, match=r"'ndcg@10', got only \['mrr'\]"):
        Cascade(TEACHER, {"mrr": [0.5]})
    with pytest.raises(ValueError, match="one entry per bin, got 1, 2 and 1"):
        CalibrationBins("fine", TEACHER, [0.1], [0.1, 0.2], [3])


def test_over_seeds():
    runs = [{"auc": 0.7, "ece": 0.1}, {"auc": 0.8, "ece": 0.2}]
    assert over_seeds(runs) == {"auc": [0.7, 0.8], "ece": [0.1, 0.2]}
    assert over_seeds([]) == {}
    with pytest.raises(ValueError, match="must have the metrics"):
        over_seeds([{"auc": 0.7}, {"ece": 0.1}])
