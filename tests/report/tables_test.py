import dataclasses
import io
import math

import pytest
from rich.console import Console

from tfdistill.report import (
    ALONE,
    DISTILLED,
    TEACHER,
    Cascade,
    Model,
    Stage,
    print_tables,
)
from tfdistill.report.tables import (
    cascade_table,
    cascade_warnings,
    cost_table,
    data_table,
    glossary_table,
    overview_table,
    run_warnings,
    stage_table,
    stage_warnings,
)


def stage(teacher, alone, distilled, metric="auc"):
    rows = zip((TEACHER, ALONE, DISTILLED), (teacher, alone, distilled))
    models = (Model(name, {metric: v}, {metric: v}) for name, v in rows)
    return Stage("fine", metric, tuple(models))


def row_of(table, label):
    return next(row for row in table.rows if row[0].text == label)


def test_differences_are_paired_by_seed():
    table = stage_table(stage([0.9, 0.9], [0.5, 0.7], [0.6, 0.8]), 2)
    cells = row_of(table, "AUC")
    assert cells[2].text == "0.6000 ±\N{NO-BREAK SPACE}0.1414"
    assert cells[4].text == "+0.1000 ±\N{NO-BREAK SPACE}0.0000"
    assert cells[5].text == "better\N{NO-BREAK SPACE}2/2"
    assert cells[4].tone == cells[5].tone == "better"
    assert [cell.tone for cell in cells[1:4]] == ["best", "", ""]


def test_seeds_that_disagree_have_no_colour():
    cells = row_of(stage_table(stage([0.9] * 2, [0.5, 0.7], [0.6, 0.6]), 2), "AUC")
    assert cells[5].text == "better\N{NO-BREAK SPACE}1/2"
    assert cells[5].tone == ""


@pytest.mark.parametrize(
    ("metric", "distilled", "verdict"),
    [
        ("auc", 0.8, "better"),
        ("auc", 0.70001, "equal"),
        ("log_loss", 0.8, "worse"),
        ("calibration", 1.1, "better"),
        ("calibration", 0.6, "worse"),
    ],
)
def test_one_seed_is_judged_by_the_metric_s_direction_without_colour(
    metric, distilled, verdict
):
    table = stage_table(stage([0.9], [0.7], [distilled], metric), 1)
    assert table.rows[1][5].text == verdict
    assert table.rows[1][5].tone == ""
    assert "±" not in table.rows[1][1].text


def test_a_metric_that_a_model_lacks_or_that_is_undefined_is_a_dash():
    models = (
        Model(ALONE, {"auc": [0.5]}, {"auc": [0.5], "spearman": [math.nan]}),
        Model(DISTILLED, {"auc": [0.6]}, {"auc": [0.6], "spearman": [0.9]}),
    )
    table = stage_table(Stage("fine", "auc", models), 1)
    assert row_of(table, "AUC")[1].text == "–"
    texts = [cell.text for cell in row_of(table, "Spearman")]
    assert texts == ["Spearman", "–", "–", "0.9000", "–", "–"]
    assert stage_warnings(Stage("fine", "auc", models)) == []


def test_a_teacher_that_is_not_better_on_validation_is_a_warning():
    assert stage_warnings(stage([0.8], [0.7], [0.75])) == []
    (warning,) = stage_warnings(stage([0.7], [0.7], [0.75]))
    assert "teacher is not better" in warning
    assert "AUC 0.7000 against 0.7000" in warning
    assert stage_warnings(stage([0.5], [0.6], [0.55], metric="log_loss")) == []


def test_distilling_that_does_not_help_is_a_warning():
    (warning,) = stage_warnings(stage([0.8], [0.7], [0.7]))
    assert "distilling does not help on test" in warning


def test_a_cascade_that_distilling_does_not_help_is_a_warning(results):
    worse = Cascade(DISTILLED, {"ndcg@10": [0.01] * 3})
    cascades = (*(c for c in results.cascades if c.name != DISTILLED), worse)
    (warning,) = cascade_warnings(dataclasses.replace(results, cascades=cascades))
    assert "Cascade: distilling does not help" in warning
    assert cascade_warnings(dataclasses.replace(results, cascades=())) == []


def test_the_overview_gives_the_closed_gap_and_the_savings(results):
    results = dataclasses.replace(
        results, stages=(stage([0.9] * 3, [0.5] * 3, [0.6] * 3),)
    )
    cells = [cell.text for cell in overview_table(results).rows[0]]
    assert cells[7:] == ["25%", "3.3\N{NO-BREAK SPACE}×", "4.1\N{NO-BREAK SPACE}×"]
    assert overview_table(results).rows[1][0].text == "Cascade"
    no_gap = dataclasses.replace(
        results, stages=(stage([0.5] * 3, [0.5] * 3, [0.6] * 3),), costs=()
    )
    cells = [cell.text for cell in overview_table(no_gap).rows[0]]
    assert cells[7:] == ["–", "–", "–"]


def test_parts_of_a_stage_s_table(results):
    recall = results.stages[0]
    labels = [row[0].text for row in stage_table(recall, 3).rows]
    assert labels[0] == "Test"
    assert "NDCG@10 tail" in labels
    assert "Validation" not in labels
    brief = [row[0].text for row in stage_table(recall, 3, "brief").rows]
    assert brief == [
        "Test",
        "NDCG@10",
        "Recall@10",
        "Recall@50",
        "Validation",
        "NDCG@10",
    ]


def test_the_other_tables(results):
    cascade = cascade_table(results)
    heads = [row[0].text for row in cascade.rows if len(row) == 1]
    assert heads == ["Final page", "Recall (200)", "Coarse (50)", "Fine (10)"]
    assert row_of(cascade, "Overlap")[1].text == "–"
    assert all(
        "tail" not in row[0].text for row in cascade_table(results, brief=True).rows
    )
    assert row_of(cost_table(results), "Fine ranking")[5].text.startswith("4.1")
    assert [cell.text for cell in row_of(data_table(results), "test")][1:3] == [
        "943",
        "10,000",
    ]
    assert row_of(glossary_table(results), "Log loss")[2].text == "lower is better"


def test_flops_that_were_not_counted_are_a_dash(results):
    costs = tuple(dataclasses.replace(cost, mflops=None) for cost in results.costs)
    table = cost_table(dataclasses.replace(results, costs=costs))
    assert {row[2].text for row in table.rows} == {"–"}


def test_one_seed_is_said(results, one_seed):
    assert run_warnings(results) == list(results.warnings)
    assert "One training seed" in run_warnings(one_seed)[-1]


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_terminal_shows_every_stage_and_warning(results, width):
    output = io.StringIO()
    print_tables(results, Console(file=output, width=width))
    text = output.getvalue()
    for title in ("Recall", "Coarse ranking", "Fine ranking", "Cascade", "Cost of one"):
        assert title in text
    assert "the teacher is not better than the student alone" in text
    assert results.warnings[0] in text
    assert max(map(len, text.splitlines())) <= width


def test_a_title_in_brackets_is_not_markup(results):
    output = io.StringIO()
    results = dataclasses.replace(results, warnings=("[bold] stays",))
    print_tables(results, Console(file=output, width=100))
    assert "! [bold] stays" in output.getvalue()
