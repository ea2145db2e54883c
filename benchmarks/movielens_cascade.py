"""Quality of the quickstart's teacher and students over seeds.

    python benchmarks/movielens_cascade.py [--seeds 5] [--data-dir DIR] [--work DIR]

Each seed is one line of benchmarks/results/cascade.jsonl and isn't run again.
Prints mean and standard deviation over seeds, and paired differences.
"""

from __future__ import annotations

import argparse
import pathlib

import store
from tfdistill.zoo.quickstart import make_problem, quickstart

from tfdistill.datasets import load_movielens
from tfdistill.report import ALONE, DISTILLED, MODELS, Results

NAME = "cascade"
SHOWN = {
    "recall": ("ndcg@10", "recall@50"),
    "coarse": ("gauc", "log_loss"),
    "fine": ("gauc", "log_loss"),
    "page": ("ndcg@10",),
}


def flat(results: Results) -> dict[str, float]:
    """Test metrics of one seed as `stage/model/metric`, and the final page's."""
    found = {}
    for stage in results.stages:
        for model in stage.models:
            for part, values in (("test", model.test), ("valid", model.validation)):
                for metric, (value,) in values.items():
                    key = f"{stage.name}/{model.name}/{metric}"
                    found[key if part == "test" else f"valid/{key}"] = value
    for cascade in results.cascades:
        for metric, (value,) in cascade.page.items():
            found[f"page/{cascade.name}/{metric}"] = value
        for kept in cascade.stages:
            for metric, (value,) in kept.values.items():
                found[f"page/{cascade.name}/{kept.name}/{metric}"] = value
    return {key: round(value, 6) for key, value in found.items()}


def show(runs: list[dict[str, float]]) -> None:
    """Prints mean and spread over seeds."""
    for stage, metrics in SHOWN.items():
        for metric in metrics:
            cells = []
            for model in MODELS:
                values = [run[f"{stage}/{model}/{metric}"] for run in runs]
                cells.append(f"{model} {store.spread(values)}")
            gains = [
                run[f"{stage}/{DISTILLED}/{metric}"] - run[f"{stage}/{ALONE}/{metric}"]
                for run in runs
            ]
            cells.append(f"distilled - alone {store.spread(gains, '+')}")
            print(f"{stage} {metric}: " + ", ".join(cells))


def main() -> None:
    """Runs the seeds that are not there yet and prints all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data-dir", type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path, default="runs/benchmark")
    options = parser.parse_args()
    problem = make_problem(load_movielens(options.data_dir))
    runs = []
    for seed in range(options.seeds):
        run = f"{problem.data.name}/seed-{seed}"
        if run not in store.finished(NAME):
            results = quickstart(problem, options.work / run, seeds=(seed,))
            store.append(NAME, run, {"test": flat(results)})
        runs.append(store.finished(NAME)[run]["test"])
    show(runs)


if __name__ == "__main__":
    main()
