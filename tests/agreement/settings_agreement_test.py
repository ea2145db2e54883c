"""Losses, gradients, architectures and metrics are the same in every setting."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import values

from tfdistill import models

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def found():
    return values.values()


@pytest.fixture(scope="module")
def expected():
    with np.load(values.EXPECTED) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("kind", ["losses", "compiled losses", "nets", "metrics"])
def test_values_are_those_of_tensorflow_2_15_and_keras_2(kind, found, expected):
    mine, theirs = (
        {name: value for name, value in every.items() if name.startswith(f"{kind}/")}
        for every in (found, expected)
    )
    assert mine and sorted(mine) == sorted(theirs)  # the names of all weights too
    far = {name: values.difference(mine[name], theirs[name]) for name in mine}
    assert not {name: d for name, d in far.items() if not d <= TOLERANCE}


def test_every_architecture_is_compared():
    every = [getattr(models, name) for name in models.__all__]
    made = {cls for cls in every if dataclasses.is_dataclass(cls)}
    made = {cls for cls in made if "__call__" in dir(cls)}
    assert len(made) == 15
    assert made == {type(net) for net in values.NETS.values()}


@pytest.mark.parametrize(
    ("found", "far"),
    [
        ([1.0, 2000.0], 0.0),
        ([1.0, 2000.2], 1e-4),
        ([1.2, 2000.0], 1e-4),
        ([1.0], np.inf),
        ([1.0, np.nan], np.nan),
    ],
)
def test_a_difference_is_relative_to_the_largest_value(found, far):
    assert values.difference(np.array(found), np.array([1.0, 2000.0])) == pytest.approx(
        far, rel=1e-6, nan_ok=True
    )
