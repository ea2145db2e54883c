import doctest
import importlib

import numpy as np
import pytest
import tensorflow as tf


@pytest.mark.parametrize("name", ["cost", "examples", "publishing", "servable"])
def test_examples_run(name):
    module = importlib.import_module(f"tfdistill.export.{name}")
    result = doctest.testmod(module, extraglobs={"np": np, "tf": tf})
    assert result.failed == 0
    assert result.attempted > 0
