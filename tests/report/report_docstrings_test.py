import doctest
import importlib

import pytest

MODULES = ["page", "schema", "store", "terminal"]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    result = doctest.testmod(importlib.import_module(f"tfdistill.report.{name}"))
    assert result.failed == 0
    assert result.attempted > 0
