import doctest
import importlib

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.export import publishing


@pytest.mark.parametrize(
    "name",
    [
        "cascade",
        "catalogue",
        "cost",
        "examples",
        "index",
        "k_means",
        "packing",
        "publishing",
        "ranking",
        "recall",
        "survivors",
    ],
)
def test_examples_run(name, monkeypatch, same_process):
    monkeypatch.setattr(publishing, "in_fresh_process", same_process)
    module = importlib.import_module(f"tfdistill.export.{name}")
    result = doctest.testmod(module, extraglobs={"np": np, "tf": tf})
    assert result.failed == 0
    assert result.attempted > 0
