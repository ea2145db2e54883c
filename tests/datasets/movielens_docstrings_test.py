import doctest
import importlib

import numpy as np
import pytest

MODULES = [
    "datasets.movielens",
    "datasets.movielens_archives",
    "datasets.movielens_features",
    "datasets.movielens_formats",
    "data.splits",
    "data.windows",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(f"tfdistill.{name}")
    result = doctest.testmod(module, extraglobs={"np": np})
    assert result.failed == 0
    assert result.attempted > 0
