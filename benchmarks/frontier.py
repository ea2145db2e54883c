"""Which sizes of a cascade's stages are worth their cost, beside teacher-over-recall.

    python benchmarks/frontier.py [--data-dir DIR] [--epochs 20] [--seed 0] [--work DIR]

Trains the quickstart's teacher and students jointly, then judges recall alone, the
cascade of the students and the teacher over recall's items at many sizes: NDCG@10 of
the page on the test part, FLOPs and latency of a request on exported models, all in one
process with one thread. A run is one line of benchmarks/results/frontier.jsonl and
isn't measured again. Prints the table and what the students save at equal quality, and
writes `frontier.png` into the work folder.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import store
from rich.console import Console

from tfdistill.data import load_movielens
from tfdistill.metrics import FunnelPoint, Price, RequestCost, cheapest, size_grid
from tfdistill.report.plots import frontier_plot
from tfdistill.report.tables import frontier_table
from tfdistill.report.terminal import print_table
from tfdistill.zoo import movielens_cascade as zoo
from tfdistill.zoo.frontier import QUALITY, Funnel, swept
from tfdistill.zoo.quickstart import Problem, make_problem
from tfdistill.zoo.recipe import Recipe, TrainedNet, train

NAME = "frontier"
RECALL, STUDENTS, TEACHER = "recall alone", "distilled cascade", "teacher over recall"
RECALLED = [20, 50, 100, 200, 500, 1000]
PASSED_ON = [20, 50, 100, 200]
PRICES: dict[Price, str] = {"mflops": "FLOPs", "p50_ms": "latency"}

Curves = Mapping[str, Sequence[FunnelPoint]]


def measure(
    problem: Problem, epochs: int, seed: int, work: pathlib.Path
) -> dict[str, list[dict[str, Any]]]:
    """The points of both funnels, of nets that are trained in one fit."""
    recipe: Recipe = dataclasses.replace(zoo.joint(), epochs=epochs)
    nets: dict[str, TrainedNet] = train(
        recipe,
        problem.spec,
        problem.parts.train,
        problem.judges["valid"],
        work / "joint",
        known=problem.parts.known,
        seed=seed,
    )
    rankers = {name: nets[name] for name in ("coarse", "fine")}
    teacher = {"teacher": nets["teacher"]}
    funnels = {
        RECALL: Funnel(nets["recall"], {}, size_grid([10])),
        STUDENTS: Funnel(nets["recall"], rankers, size_grid(RECALLED, PASSED_ON, [10])),
        TEACHER: Funnel(nets["recall"], teacher, size_grid(RECALLED, [10])),
    }
    curves = swept(funnels, problem.judges["test"], problem.spec, work / "serving")
    return {
        name: [dataclasses.asdict(point) for point in points]
        for name, points in curves.items()
    }


def read(points: Sequence[Mapping[str, Any]]) -> list[FunnelPoint]:
    """Points as they were measured."""
    return [
        FunnelPoint(tuple(p["sizes"]), p["quality"], RequestCost(**p["cost"]))
        for p in points
    ]


def show(curves: Curves) -> None:
    """Prints what the students cost at the quality that the teacher has, and back."""
    for teacher in curves[TEACHER]:
        print(f"teacher over {teacher.sizes[0]}: NDCG@10 {teacher.quality:.4f}")
        for price, text in PRICES.items():
            spent = getattr(teacher.cost, price)
            found = cheapest(curves[STUDENTS], teacher.quality, price)
            if found:
                saved = spent / getattr(found.cost, price)
                print(f"  as good by {text}: {found.sizes}, {saved:.2f} times cheaper")
            within = [p for p in curves[STUDENTS] if getattr(p.cost, price) <= spent]
            if within:
                best = max(within, key=lambda point: point.quality)
                print(f"  at equal {text}: {best.sizes}, {best.quality:.4f}")


def main() -> None:
    """Measures the run if it isn't there yet, and shows it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=pathlib.Path)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=pathlib.Path, default="runs/frontier")
    options = parser.parse_args()
    problem = make_problem(load_movielens(options.data_dir))
    run = f"{problem.data.name}/epochs-{options.epochs}/seed-{options.seed}"
    work = options.work / problem.data.name / f"seed-{options.seed}"
    if run not in store.finished(NAME):
        points = measure(problem, options.epochs, options.seed, work)
        store.append(NAME, run, {"points": points})
    measured = store.finished(NAME)[run]["points"]
    curves = {name: read(points) for name, points in measured.items()}
    print_table(frontier_table(curves, QUALITY), Console())
    show(curves)
    work.mkdir(parents=True, exist_ok=True)
    picture = frontier_plot(curves, QUALITY)
    if picture:
        (work / "frontier.png").write_bytes(picture)


if __name__ == "__main__":
    main()
