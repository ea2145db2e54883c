"""Every example in the documentation runs, and everything public has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import tensorflow as tf

import tfdistill
from tfdistill.export import publishing, standalone

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(tfdistill.__path__, "tfdistill.")
    if not module.name.endswith("__main__")
)
ROOMS = ("tfdistill.data.", "tfdistill.datasets.")
# Public is what a package exports, and the modules that have no package to do so.
PUBLIC = [
    name
    for name in MODULES
    if (name.count(".") == 1 or name.startswith(ROOMS)) and "._" not in name
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

NO_EXAMPLE = {
    "the command line": {"main"},
    "a training; tests/docs/programs_test.py runs the page of programs": {
        *("Catalogue", "Nets", "Problem", "Recipe", "TrainedNet", "cascade"),
        *("evaluate", "publish", "train", "Baseline", "CandidateTeacher", "run"),
        *("movielens_problem", "boosted_trees"),
    },
    "a contract; each of its members has one": {
        "Architecture",
        "Derived",
        "DistillationLoss",
        "PairScorer",
        "RelevanceLoss",
        "RelevanceMap",
        "TemperedLoss",
    },
    "a record; the function that makes or takes it has one": {
        "Asked",
        "Examples",
        "CalibrationBins",
        "Cascade",
        "CascadeStage",
        "Cost",
        "CsvRows",
        "Data",
        "Expected",
        "Export",
        "ExportReport",
        "FunnelPoint",
        "IndexReport",
        "Items",
        "JointNetwork",
        "Latency",
        "Model",
        "Net",
        "ParameterCount",
        "Part",
        "PartCounts",
        "Regret",
        "RequestCost",
        "RequestParts",
        "Servable",
        "Server",
        "Simulation",
        "Stage",
        "TeacherOverlap",
        "Timing",
    },
    "it needs files; its test shows it": {
        "default_cache_dir",
        "movielens_spec",
        "movielens_split",
        "obtain",
        "read_100k",
        "read_1m",
        "to_json",
    },
    "a part of the simulator, whose example runs it": {
        "feature_spec",
        "observed_features",
        "privileged_features",
    },
}


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, monkeypatch):
    def in_this_process(task, *arguments, threads=None):
        return getattr(standalone, task)(*arguments), "this process"

    # Tests of publishing have the process without this package.
    monkeypatch.setattr(publishing, "in_fresh_process", in_this_process)
    if name == "tfdistill.scores.beam":  # newer Pythons go without: it caps NumPy
        pytest.importorskip("apache_beam")
    module = importlib.import_module(name)
    names = {"np": np, "tf": tf}
    assert doctest.testmod(module, extraglobs=names, optionflags=FLAGS).failed == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_has_an_example(name):
    module = importlib.import_module(name)
    public = [getattr(module, name) for name in getattr(module, "__all__", ())]
    lacking = {
        value.__name__
        for value in public
        if (inspect.isclass(value) or inspect.isfunction(value))
        and ">>>" not in (inspect.getdoc(value) or "")
    }
    assert lacking <= set().union(*NO_EXAMPLE.values())
