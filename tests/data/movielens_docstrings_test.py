import doctest
import importlib

import numpy as np
import pytest

MODULES = [
    "movielens",
    "movielens_archives",
    "movielens_features",
    "movielens_formats",
    "splits",
    "windows",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(f"tfdistill.data.{name}")
    result = doctest.testmod(module, extraglobs={"np": np})
    assert result.failed == 0
    assert result.attempted > 0
