"""Values of a teacher are found in what goes out, and those of others are not."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.export.values import refuse_values


def gains(rng, spread, width):
    return rng.normal(1.0, spread, width).astype(np.float32)


@pytest.mark.parametrize("spread", [0.001, 0.003, 0.005, 0.01])
def test_gains_that_are_all_about_1_are_no_secret(spread):
    """Layers normalised apart, a short training: few values of bfloat16 are there."""
    rng = np.random.default_rng(5)
    teacher = [tf.Variable(gains(rng, spread, 512), name="gamma") for _ in range(4)]
    student = [(f"layer {n}", gains(rng, spread, 256)) for n in range(4)]
    refuse_values(student, teacher, shared=())


def test_gains_that_were_trained_long_are_found_in_a_copy():
    values = gains(np.random.default_rng(5), 0.3, 512)
    with pytest.raises(ValueError, match="a copy has those of the weight 'gamma"):
        refuse_values(
            [("a copy", values[100:200])], [tf.Variable(values, name="gamma")], ()
        )
