"""What a benchmark of quality leaves to the harness, on one that trains nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import pages  # noqa: E402
import store  # noqa: E402
from harness import Bench  # noqa: E402


class Toy(Bench):
    """A row's metric on validation is its distance to the best rate, .2."""

    name, page = "toy", "toy.md"
    problems = ("small", "large")
    rows = ("alone", "taught")
    usual = ("alone", "taught")
    trials = {f"rate-{rate}": {"rate": rate} for rate in (0.1, 0.2, 0.4)}
    tuned = {"large": "small"}
    chosen_by = "ndcg"
    seeds = 2
    columns = {"NDCG": "ndcg", "regret": "regret"}
    trainings: list[tuple] = []

    def has(self, row, seed):
        return row != "taught" or seed < 1

    def trained(self, row, settings, seed):
        self.trainings.append((self.problem, row, settings["rate"], seed))
        return settings["rate"] + seed

    def metrics(self, row, trained, part, seed):
        return {"ndcg": trained if part == "test" else -abs(trained - 0.2)}


@pytest.fixture
def results(tmp_path, monkeypatch):
    """The folder of the lines, and of the page."""
    monkeypatch.setattr(store, "RESULTS", tmp_path)
    monkeypatch.setattr(pages, "DOCS", tmp_path)
    monkeypatch.setattr(Toy, "trainings", [])
    (tmp_path / "toy.md").write_text("Before\n<!-- toy: small -->\nold\n<!-- end -->\n")
    return tmp_path


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["toy.py", *arguments])
    Toy.main()


def lines(results):
    text = (results / "toy.jsonl").read_text().splitlines()
    return {line["run"]: line for line in map(json.loads, text)}


def test_trials_are_on_seed_0_and_the_best_of_validation_trains_the_seeds(
    results, monkeypatch
):
    run(monkeypatch, "small")
    rates = [("small", "alone", rate, 0) for rate in (0.1, 0.2, 0.4)]
    assert Toy.trainings[:3] == rates
    assert Toy.trainings[3:5] == [("small", "alone", 0.2, seed) for seed in (0, 1)]
    assert Toy.trainings[5:] == [
        *(("small", "taught", rate, 0) for rate in (0.1, 0.2, 0.4)),
        ("small", "taught", 0.2, 0),
    ]
    kept = lines(results)
    assert kept["small/alone/rate-0.4"]["valid"] == {"ndcg": -0.2}
    assert kept["small/alone/seed-1"]["test"] == {"ndcg": 1.2}
    assert kept["small/alone/seed-1"]["settings"] == {"rate": 0.2}
    assert {"hardware", "versions", "date"} < set(kept["small/alone/seed-1"])


def test_what_has_a_line_is_not_run_again(results, monkeypatch):
    run(monkeypatch, "small", "--seeds", "1")
    Toy.trainings.clear()
    run(monkeypatch, "small", "--seeds", "2")
    assert Toy.trainings == [("small", "alone", 0.2, 1)]


def test_lines_of_earlier_versions_are_finished_runs(results, monkeypatch):
    old = [
        {"run": f"small/alone/rate-{rate}", "valid": {"ndcg": rate}}
        for rate in (0.1, 0.2, 0.4)
    ]
    old.append({"run": "small/alone/seed-0", "learning_rate": 3, "test": {"ndcg": 1}})
    text = "".join(json.dumps(line) + "\n" for line in old)
    (results / "toy.jsonl").write_text(text)
    run(monkeypatch, "small", "--rows", "alone")
    assert Toy.trainings == [("small", "alone", 0.4, 1)]
    assert (results / "toy.jsonl").read_text().startswith(text)


def test_a_problem_may_take_the_settings_of_another(results, monkeypatch):
    with pytest.raises(SystemExit, match="small: run it first"):
        run(monkeypatch, "large")
    assert not Toy.trainings
    run(monkeypatch, "small", "--tune")
    assert len(Toy.trainings) == 6
    run(monkeypatch, "large", "--rows", "alone", "--seeds", "1")
    assert Toy.trainings[6:] == [("large", "alone", 0.2, 0)]


def test_the_table_is_of_the_lines_and_stands_between_its_markers(results, monkeypatch):
    tests = {
        "small/alone/seed-0": {"ndcg": 0.5},
        "small/alone/seed-1": {"ndcg": 0.7},
        "small/alone/seed-3": {"ndcg": 9.0},  # seed 2 is not there yet
        "small/taught/seed-0": {"ndcg": 0.4, "regret": 0.25},
        "large/alone/seed-0": {"ndcg": 0.1},
    }
    with open(results / "toy.jsonl", "w") as file:
        for name, test in tests.items():
            print(json.dumps({"run": name, "test": test}), file=file)
    run(monkeypatch, "table")
    assert not Toy.trainings
    assert (results / "toy.md").read_text() == (
        "Before\n<!-- toy: small -->\n\n"
        "| row | seeds | NDCG | regret |\n|---|---|---|---|\n"
        "| alone | 2 | 0.6000 ± 0.1414 | - |\n| taught | 1 | 0.4000 | 0.2500 |"
        "\n\n<!-- end -->\n"
    )
    assert "regret" not in Toy.table("large")


def test_each_training_has_a_folder_of_its_own(tmp_path):
    bench = Toy("small", None, tmp_path)
    folders = {
        bench.folder(row, settings, seed)
        for row in Toy.rows
        for settings in ({}, *Toy.trials.values())
        for seed in (0, 1)
    }
    assert len(folders) == 16
    assert all(tmp_path / "small" in folder.parents for folder in folders)
