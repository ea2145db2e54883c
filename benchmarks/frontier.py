"""Which sizes of a cascade's stages are worth their cost, beside the teacher's.

    python benchmarks/frontier.py simulator-4k [--data-dir DIR] [--seed 0]

Trains a teacher of a size that can be served and the three students of
`zoo.unified_cascade` in one fit, with recall's candidates. Judged on test at a grid of
sizes: the students' funnel, the teacher over what recall returns, and recall alone.
FLOPs and latency of a request are of exported models, all in one process with one
thread, in turns. A run is one line of benchmarks/results/frontier.jsonl and isn't
measured again; docs/cascade.md has its table, and a plot in docs/images.

    python benchmarks/frontier.py table
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pages
import store
from rich.console import Console
from tfdistill.zoo.frontier import QUALITY, Funnel, swept
from unified_data import PROBLEMS, CascadeProblem

from tfdistill.metrics import FunnelPoint, RequestCost, cheapest, size_grid
from tfdistill.models import DcnV2, Net
from tfdistill.report.plots import frontier_plot
from tfdistill.report.tables import frontier_table
from tfdistill.report.terminal import print_table
from tfdistill.study.ways import train
from tfdistill.zoo.unified_cascade import default_nets

NAME = "frontier"
DOCS = pathlib.Path(__file__).parents[1] / "docs"
RECALL, STUDENTS, TEACHER = "recall alone", "distilled cascade", "teacher over recall"
RECALLED = [20, 50, 100, 200, 500, 1000]
PASSED_ON = [20, 50, 100, 200]
TEACHER_NET = DcnV2(cross_layers=3, units=(512, 256, 128), dropout=0.2)

Curves = Mapping[str, Sequence[FunnelPoint]]


def trained(
    problem: CascadeProblem, work: pathlib.Path, seed: int
) -> Mapping[str, Any]:
    """The teacher and its students, from one fit."""
    nets = default_nets(problem.spec)
    nets["teacher"] = Net(TEACHER_NET, problem.spec.names)
    recipe = dataclasses.replace(problem, own_nets=nets).recipe()
    return train(recipe, problem.study, work, seed=seed)


def measure(
    problem: CascadeProblem, work: pathlib.Path, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """The points of the funnels."""
    nets = trained(problem, work, seed)
    rankers = {name: nets[name] for name in ("coarse", "fine")}
    teacher = {"teacher": nets["teacher"]}
    funnels = {
        RECALL: Funnel(nets["recall"], {}, size_grid([10])),
        STUDENTS: Funnel(nets["recall"], rankers, size_grid(RECALLED, PASSED_ON, [10])),
        TEACHER: Funnel(nets["recall"], teacher, size_grid(RECALLED, [10])),
    }

    def true_ndcg(page: np.ndarray) -> float:
        sets = {"fine": page, "recall": page}
        return problem.truths("test", sets)["page/true ndcg@10"]

    curves = swept(
        funnels,
        problem.judges["test"],
        problem.spec,
        work / "serving",
        quality=None if problem.oracle is None else true_ndcg,
    )
    return {
        name: [dataclasses.asdict(point) for point in points]
        for name, points in curves.items()
    }


def curves_of(run: Mapping[str, Any]) -> dict[str, list[FunnelPoint]]:
    """The points of a finished run."""
    return {
        name: [
            FunnelPoint(tuple(p["sizes"]), p["quality"], RequestCost(**p["cost"]))
            for p in points
        ]
        for name, points in run["points"].items()
    }


def table(problem: str) -> str:
    """The teacher at each size beside the students' funnel of its quality and cost."""
    curves = curves_of(store.finished(NAME)[f"{problem}/seed-0"])
    titles = [
        *("teacher over", "NDCG@10", "ms", "MFLOP", "cascade as good", "NDCG@10"),
        *("times faster", "times fewer FLOPs", "best cascade in its time", "NDCG@10"),
    ]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for teacher in curves[TEACHER]:
        cost = teacher.cost
        cells = [str(teacher.sizes[0]), f"{teacher.quality:.4f}"]
        cells += [f"{cost.p50_ms:.2f}", f"{cost.mflops:.0f}"]
        found = cheapest(curves[STUDENTS], teacher.quality, "p50_ms")
        least = cheapest(curves[STUDENTS], teacher.quality, "mflops")
        if found and least:
            cells += [_sizes(found), f"{found.quality:.4f}"]
            cells.append(f"{cost.p50_ms / found.cost.p50_ms:.1f}")
            cells.append(f"{cost.mflops / least.cost.mflops:.1f}")
        else:
            cells += ["none"] + ["-"] * 3
        within = [p for p in curves[STUDENTS] if p.cost.p50_ms <= cost.p50_ms]
        best = max(within, key=lambda point: point.quality, default=None)
        cells += [_sizes(best), f"{best.quality:.4f}"] if best else ["none", "-"]
        lines.append(f"| {' | '.join(cells)} |")
    (alone,) = curves[RECALL]
    lines.append("")
    lines.append(
        f"Recall alone: NDCG@10 {alone.quality:.4f} in {alone.cost.p50_ms:.2f} ms."
    )
    return "\n".join(lines)


def _sizes(point: FunnelPoint) -> str:
    return " → ".join(map(str, point.sizes))


def main() -> None:
    """Measures the run if it isn't there yet, shows it, and renews table and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", choices=[*PROBLEMS, "table"])
    parser.add_argument("--data-dir", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=pathlib.Path, default="runs/frontier")
    options = parser.parse_args()
    if options.problem == "table":
        pages.renew(DOCS / "cascade.md", NAME, table)
        return
    run = f"{options.problem}/seed-{options.seed}"
    if run not in store.finished(NAME):
        problem = PROBLEMS[options.problem](options.data_dir)
        points = measure(problem, options.work / run, options.seed)
        store.append(NAME, run, {"points": points})
    curves = curves_of(store.finished(NAME)[run])
    print_table(frontier_table(curves, QUALITY), Console())
    picture = frontier_plot(curves, QUALITY)
    if picture and not options.seed:
        images = DOCS / "images"
        images.mkdir(exist_ok=True)
        (images / f"frontier-{options.problem}.png").write_bytes(picture)


if __name__ == "__main__":
    main()
