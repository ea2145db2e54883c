"""The four ways of training side by side: one run, one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tfdistill.documents import as_json
from tfdistill.files import written_whole
from tfdistill.jobs.cascades import judged, shown_sets, student_parameters
from tfdistill.jobs.comparison import Sizes
from tfdistill.report.cells import plain
from tfdistill.study.problem import Problem
from tfdistill.study.rounds import Candidates
from tfdistill.study.ways import WAYS, train
from tfdistill.zoo.unified_cascade import default_nets, recipe

__all__ = ["ROWS", "compare", "mode_table"]

ROWS = {
    "NDCG@10 of the page": "page/ndcg@10",
    "Recall@10 of the page": "page/recall@10",
    "NDCG@10 of recall alone": "recall alone/ndcg@10",
    "relevant items left by recall": "recall/survival",
    "left by coarse ranking": "coarse/survival",
    "left on the page": "fine/survival",
    "the teacher's own NDCG@10": "teacher/ndcg@10",
    "its best items in recall": "recall/overlap",
    "after coarse ranking": "coarse/overlap",
    "on the page": "fine/overlap",
    "weights of the students": "student parameters",
}
"""Rows of the table and the metrics that they show."""

Values = Mapping[str, float]


def compare(
    problem: Problem,
    out: Path,
    *,
    modes: Sequence[str] = WAYS,
    seeds: Sequence[int] = (0,),
    tiny: bool = False,
    console: Console | None = None,
) -> dict[str, list[Values]]:
    """Trains the cascade in some of the ways, and evaluates it end to end on test.

    Run again with the same folder it goes on where it stopped.

    Args:
        problem: What `movielens_problem` gave.
        out: Folder of the run: checkpoints and `cascade.json`.
        modes: Some of `WAYS`.
        seeds: Seeds of the training.
        tiny: Two epochs only: it shows the way, not the quality.
        console: Where progress and the table are printed.

    Returns:
        For each mode the metrics of `judged` for each seed.
    """
    console = console or Console()
    sizes = Sizes.fitting(problem.train.num_items)
    nets = default_nets(problem.spec)
    searched = Candidates(depth=sizes.recall, epochs=1 if tiny else 2)
    unified = recipe(nets, candidates=searched, tiny=tiny)
    console.print(problem.about.source, *problem.facts.values(), sep="\n")
    schedule, requests = unified.schedule, problem.train.num_requests
    console.print(
        f"Every student is trained for {schedule.steps(requests):,} steps of "
        f"{schedule.batch_size} requests, whatever the way; "
        f"{problem.train.num_items:,} items -> "
        f"{sizes.recall} recalled -> {sizes.coarse} -> {sizes.page} shown."
    )
    test = problem.test.over_catalogue("A cascade")
    found: dict[str, list[Values]] = {mode: [] for mode in modes}
    for seed in seeds:
        for mode in modes:
            trained = train(
                unified,
                problem,
                out / f"seed-{seed}",
                training=mode,
                seed=seed,
                console=console,
            )
            values = judged(test, shown_sets(test, trained, sizes), sizes)
            count = student_parameters(mode, unified, problem.spec)
            found[mode].append({**values, "student parameters": count})
    console.print(mode_table(found))
    with written_whole(out / "cascade.json") as file:
        file.write_text(as_json(found), encoding="utf-8")
    return found


def mode_table(found: Mapping[str, Sequence[Values]]) -> Table:
    """Puts the ways of training below each other, with means over seeds.

    Args:
        found: For each mode the metrics of each seed.
    """
    table = Table(
        title="The cascade on test, from the catalogue to the page",
        caption="The teacher ranks the whole catalogue, and its best items are as many "
        "as the stage keeps.",
    )
    table.add_column("")
    for mode in found:
        table.add_column(mode, justify="right")
    for row, metric in ROWS.items():
        cells = [plain([run.get(metric) for run in runs]) for runs in found.values()]
        table.add_row(row, *cells)
    return table
