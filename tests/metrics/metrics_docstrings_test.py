import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import tfdistill.metrics

MODULES = sorted(m.name for m in pkgutil.iter_modules(tfdistill.metrics.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(f"tfdistill.metrics.{name}")
    result = doctest.testmod(module, extraglobs={"np": np})
    assert result.failed == 0
    assert result.attempted > 0
