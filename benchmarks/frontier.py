"""Which sizes of a cascade's stages are worth their cost, beside the teacher's.

    python benchmarks/frontier.py simulator-4k [--data-dir DIR]

Trains a teacher of a size that can be served and the three students of
`zoo.unified_cascade` in one fit, with recall's candidates. Judged on test at a grid of
sizes: the students' funnel, the teacher over what recall returns, and recall alone.
FLOPs and latency of a request are of exported models, all in one process with one
thread, in turns. A run is one line of benchmarks/results/frontier.jsonl and isn't
measured again; docs/cascade.md has its table, and a plot in docs/images.

    python benchmarks/frontier.py table
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from harness import Bench, Settings
from pages import DOCS, markdown
from rich.console import Console
from unified_data import PROBLEMS, CascadeProblem

from tfdistill.jobs.frontier import QUALITY, Funnel, swept
from tfdistill.metrics import FunnelPoint, RequestCost, cheapest, size_grid
from tfdistill.models import DcnV2, Net
from tfdistill.report.plots import frontier_plot
from tfdistill.report.tables import frontier_table
from tfdistill.report.terminal import print_table
from tfdistill.study import train
from tfdistill.zoo.unified_cascade import default_nets

RECALL, STUDENTS, TEACHER = "recall alone", "distilled cascade", "teacher over recall"
RECALLED = [20, 50, 100, 200, 500, 1000]
PASSED_ON = [20, 50, 100, 200]
TEACHER_NET = DcnV2(cross_layers=3, units=(512, 256, 128), dropout=0.2)

Curves = Mapping[str, Sequence[FunnelPoint]]


class Frontier(Bench):
    """The teacher and its students from one fit, at all sizes."""

    name, page = "frontier", "cascade.md"
    problems = tuple(PROBLEMS)
    rows = ("funnels",)
    run_id = "{problem}"
    seeds = 1

    def trained(
        self, row: str, settings: Settings, seed: int
    ) -> tuple[CascadeProblem, Mapping[str, Any]]:
        """The problem, and the nets."""
        problem = PROBLEMS[self.problem](self.data_dir)
        nets = default_nets(problem.spec)
        nets["teacher"] = Net(TEACHER_NET, problem.spec.names)
        recipe = dataclasses.replace(problem, own_nets=nets).recipe()
        folder = self.folder(row, settings, seed)
        return problem, train(recipe, problem, folder, seed=seed)

    def measured(
        self, row: str, trained: tuple[CascadeProblem, Mapping[str, Any]], seed: int
    ) -> dict[str, Any]:
        """The points of the funnels."""
        problem, nets = trained
        rankers = {name: nets[name] for name in ("coarse", "fine")}
        teacher = {"teacher": nets["teacher"]}
        recall, passed = nets["recall"], size_grid(RECALLED, PASSED_ON, [10])
        funnels = {
            RECALL: Funnel(recall, {}, size_grid([10])),
            STUDENTS: Funnel(recall, rankers, passed),
            TEACHER: Funnel(recall, teacher, size_grid(RECALLED, [10])),
        }

        def true_ndcg(page: np.ndarray) -> float:
            sets = {"fine": page, "recall": page}
            return problem.truths("test", sets)["page/true ndcg@10"]

        curves = swept(
            funnels,
            problem.test,
            problem.spec,
            self.work / "serving",
            quality=None if problem.oracle is None else true_ndcg,
        )
        points = {n: list(map(dataclasses.asdict, c)) for n, c in curves.items()}
        return {"points": points}

    @classmethod
    def table(cls, problem: str) -> str:
        """The teacher at each size beside the funnel of its quality and cost."""
        return table(problem)

    @classmethod
    def show(cls, problem: str) -> None:
        """Prints all points, and plots them."""
        curves = curves_of(problem)
        print_table(frontier_table(curves, QUALITY), Console())
        if picture := frontier_plot(curves, QUALITY):
            images = DOCS / "images"
            images.mkdir(exist_ok=True)
            (images / f"frontier-{problem}.png").write_bytes(picture)


def curves_of(problem: str) -> Curves:
    """The points of a problem's finished run, by funnel."""
    (run,) = Frontier.runs(problem)["funnels"][:1]
    return {
        name: [
            FunnelPoint(tuple(p["sizes"]), p["quality"], RequestCost(**p["cost"]))
            for p in points
        ]
        for name, points in run["points"].items()
    }


def table(problem: str) -> str:
    """The teacher at each size beside the students' funnel of its quality and cost."""
    curves = curves_of(problem)
    titles = [
        *("teacher over", "NDCG@10", "ms", "MFLOP", "cascade as good", "NDCG@10"),
        *("times faster", "times fewer FLOPs", "best cascade in its time", "NDCG@10"),
    ]
    rows = []
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
        rows.append(cells)
    (alone,) = curves[RECALL]
    found = f"NDCG@10 {alone.quality:.4f} in {alone.cost.p50_ms:.2f} ms"
    return f"{markdown(titles, rows)}\n\nRecall alone: {found}."


def _sizes(point: FunnelPoint) -> str:
    return " → ".join(map(str, point.sizes))


if __name__ == "__main__":
    Frontier.main()
