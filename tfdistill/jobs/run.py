"""One run of a job: any recipe on any problem, compared, exported and reported."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from tfdistill.jobs.comparison import (
    Outside,
    Run,
    Sizes,
    calibrations,
    cascades,
    compared_with,
    stages,
)
from tfdistill.jobs.exports import exported, served_costs
from tfdistill.jobs.machine import hardware, versions
from tfdistill.metrics import metric
from tfdistill.report import DISTILLED, Results, write_report
from tfdistill.report.terminal import print_tables
from tfdistill.scorers import Baseline
from tfdistill.study.nets import Nets
from tfdistill.study.problem import Problem
from tfdistill.study.recipe import Recipe
from tfdistill.study.validation import measurable
from tfdistill.study.ways import train

__all__ = ["reported", "run"]


def run(
    title: str,
    problem: Problem,
    recipe: Recipe,
    out: Path,
    *,
    training: str = "joint",
    seeds: Sequence[int] = (0,),
    sizes: Sizes | None = None,
    teacher: Outside | None = None,
    facts: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
    tuned: Mapping[str, Baseline] | None = None,
    console: Console | None = None,
) -> Results:
    """Trains, compares, measures and exports; writes the report into a folder.

    Run again with the same folder it goes on where it stopped.

    Args:
        title: Of the report.
        problem: The data.
        recipe: A teacher and its students, or students of stored scores.
        out: Folder of the run: checkpoints, exports, `report.html`, `results.json`.
        training: How they are trained, one of `study.WAYS`. Each student is trained
            alone too.
        seeds: Seeds of the training; the last one's models are exported.
        sizes: What each stage of a cascade of the students keeps; None if they are
            none.
        teacher: What teaches where no net of the recipe does.
        facts: What a reader must know besides, by its label.
        warnings: Sentences that stand at the top of the report.
        tuned: The problem's baselines, if they are there already.
        console: Where progress is printed.

    Returns:
        Everything that the report shows.
    """
    console = console or Console()
    console.print(problem.about.source, *problem.facts.values(), sep="\n")

    def trained(seed: int, way: str) -> Nets:
        folder = out / f"seed-{seed}"
        return train(recipe, problem, folder, training=way, seed=seed, console=console)

    runs = [
        Run(trained(seed, training), trained(seed, "independent"), teacher)
        for seed in seeds
    ]
    chosen = measurable(recipe, problem.valid)
    return reported(
        title,
        problem,
        runs,
        out,
        primary={name: chosen.primary(name) for name in recipe.students},
        seeds=seeds,
        sizes=sizes,
        facts={**_facts(problem, chosen), **(facts or {})},
        warnings=warnings,
        tuned=tuned,
        console=console,
    )


def reported(
    title: str,
    problem: Problem,
    runs: Sequence[Run],
    out: Path,
    *,
    primary: Mapping[str, str],
    seeds: Sequence[int],
    sizes: Sizes | None = None,
    facts: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
    calibrated: bool = True,
    tuned: Mapping[str, Baseline] | None = None,
    console: Console | None = None,
) -> Results:
    """Compares, measures and exports what was trained; writes the report into a folder.

    Args:
        title: As for `run`.
        problem: The data.
        runs: What was trained with each seed.
        out: Folder of the run: exports, `report.html`, `results.json`.
        primary: The metric of each student that choices were made by, by stage.
        seeds: The seed of each run; the last one's models are exported.
        sizes: As for `run`.
        facts: As for `run`.
        warnings: As for `run`.
        calibrated: Whether the rankers' logits are log odds of a label.
        tuned: As for `run`.
        console: As for `run`.

    Returns:
        Everything that the report shows.
    """
    console, nets = console or Console(), runs[-1].distilled
    console.print("Exporting, and checking each SavedModel in another process ...")
    known = [run.known(problem, sizes) for run in runs]
    served = known[-1][DISTILLED]
    exports, paths = exported(served, nets, out, sizes)
    console.print("Judging, and measuring what serving costs ...")
    results = Results(
        title=title,
        command=shlex.join(["tfdistill", *sys.argv[1:]]),
        data=problem.about,
        seeds=tuple(seeds),
        versions=versions(),
        hardware=hardware(),
        facts={**problem.facts, **(facts or {})},
        stages=stages(primary, runs, known, calibrated=calibrated),
        cascades=cascades(problem.test, runs, sizes) if sizes else [],
        costs=served_costs(paths, nets, served.test.requests, sizes),
        curves={k: list(v) for k, v in next(iter(nets.values())).history.items()},
        calibration=calibrations(problem.test, runs[0]) if calibrated else [],
        warnings=list(warnings),
        exports=exports,
        summary=problem.summary,
        baselines=compared_with(problem, nets, tuned),
    )
    print_tables(results, console)
    console.print(f"Report: {write_report(results, out)}")
    return results


def _facts(problem: Problem, chosen: Recipe) -> dict[str, str]:
    """What a reader must know to compare the models of a stage."""
    schedule = chosen.schedule
    by = {name: metric(chosen.primary(name)).label for name in chosen.students}
    return {
        "Training": f"{schedule.steps(problem.train.num_requests):,} steps for every "
        f"model, with a teacher or alone, of {schedule.batch_size} requests with "
        f"{schedule.negatives} sampled items each.",
        "Choice": "Every net keeps its best epoch on validation: "
        + ", ".join(f"{label} for {name}" for name, label in by.items())
        + ".",
    }
