"""Numbers in the headers of recipes are means of runs that are in the results."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest

import tfdistill.zoo

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
# <file>: <run>/seed-0..4 <metric> = <mean> ± <standard deviation>
LINE = re.compile(r"^ *(\w+): (.+)/seed-0\.\.(\d+) (\S.*) = ([+\-.\d]+) ± ([.\d]+)$")

QUOTES = [
    (module.name, line)
    for module in pkgutil.iter_modules(tfdistill.zoo.__path__, "tfdistill.zoo.")
    for line in (importlib.import_module(module.name).__doc__ or "").splitlines()
    if "±" in line
]


def value(run: dict, metric: str) -> float:
    """A metric of a run, or the difference `a - b` of two."""
    first, _, second = metric.partition(" - ")
    test = run["test"]
    return test[first] - (test[second] if second else 0.0)


@pytest.mark.parametrize(("module", "line"), QUOTES)
def test_a_quoted_number_is_the_mean_of_its_runs(module, line):
    match = LINE.match(line)
    assert match, f"{module}: {line!r} does not name its runs"
    name, run, last, metric, mean, spread = match.groups()
    text = (RESULTS / f"{name}.jsonl").read_text()
    runs = {row["run"]: row for row in map(json.loads, text.splitlines())}
    values = [value(runs[f"{run}/seed-{i}"], metric) for i in range(int(last) + 1)]
    digits = len(mean.partition(".")[2])
    assert f"{np.mean(values):.{digits}f}" == mean.lstrip("+")
    assert f"{np.std(values, ddof=1):.{digits}f}" == spread


def test_recipes_quote_something():
    assert {module for module, _ in QUOTES} == {
        "tfdistill.zoo.coarse_from_lists",
        "tfdistill.zoo.dual_dnn",
        "tfdistill.zoo.ensemble_to_dnn",
        "tfdistill.zoo.gbdt_to_dnn",
        "tfdistill.zoo.movielens_cascade",
        "tfdistill.zoo.multi_task",
        "tfdistill.zoo.privileged_coarse",
        "tfdistill.zoo.ranking_pair",
        "tfdistill.zoo.recall_from_lists",
        "tfdistill.zoo.rocket",
        "tfdistill.zoo.unified_cascade",
    }
