"""Serving cost: counts against arithmetic by hand, timings of real exports."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from export_fixture import FINE, SPEC, batch, towers

from tfdistill.export import flops, latency, pack, parameters, ranker_servable


def test_parameters_of_tables_and_layers(network):
    part = network.part("fine")
    count = parameters(part)
    assert count.tables == (11 + 4 + 51) * 8 + 20 * 4
    assert count.rest == (9 + 13) * 16 + 16 + 16 * 8 + 8 + 8 + 1
    shared = parameters(*towers(network))
    assert shared.tables == count.tables  # counted once


def test_flops_of_the_matrix_products(network):
    """The folded layer multiplies the user side once and the items 500 times."""
    part = network.part("fine")
    products = 2 * (9 * 16 + 500 * (13 * 16 + 16 * 8 + 8))
    assert products <= flops(part) * 1e6 <= 1.25 * products
    per_item = flops(part, list_size=501) - flops(part)
    assert 500 * per_item == pytest.approx(flops(part), rel=0.01)
    assert flops(network.part("teacher")) > 5 * flops(part)
    towers_and_dot = 2 * ((17 + 6) * 8 + 500 * ((13 + 6) * 8 + 6))
    assert towers_and_dot <= flops(network.part("recall")) * 1e6 < 1.25 * towers_and_dot


def test_flops_of_one_layer_are_exact():
    inputs = tf.keras.Input([None, 7], name="x")
    layer = tf.keras.layers.Dense(3, use_bias=False)
    assert flops(tf.keras.Model(inputs, layer(inputs)), list_size=10) == 420e-6


@pytest.mark.parametrize(
    ("equation", "kernel", "expected"),
    [
        ("...d,dh->...h", [7, 3], 2 * 10 * 7 * 3),
        ("bld,md->blm", [4, 7], 2 * 10 * 7 * 4),
    ],
)
def test_flops_of_an_einsum_are_exact(equation, kernel, expected):
    """Attention and factorisation are made of them; the profiler counts none."""
    inputs = tf.keras.Input([None, 7], name="x")
    weights = tf.ones(kernel)
    product = tf.keras.layers.Lambda(lambda x: tf.einsum(equation, x, weights))
    found = flops(tf.keras.Model(inputs, product(inputs)), list_size=10)
    assert found == pytest.approx(expected * 1e-6)


@pytest.mark.parametrize("threads", [None, 1], ids=["this_process", "fresh_process"])
def test_latency_of_exports_in_turns(network, tmp_path, threads):
    paths = {name: tmp_path / name for name in ("teacher", "fine")}
    for name, path in paths.items():
        ranker_servable(network.part(name), SPEC, allow_privileged=True).save(path)
    requests = [batch(1, 500, seed) for seed in (0, 1)]
    requests[1]["age"] = requests[1]["age"].numpy().astype(np.float64)  # as in pandas
    found = latency(paths, requests, baseline="teacher", rounds=4, threads=threads)
    assert list(found) == ["teacher", "fine"]
    for times in found.values():
        assert 0 < times.p50 <= times.p99 and times.mean <= times.p99
    assert found["teacher"].speedup == 1
    speedup = found["teacher"].p50 / found["fine"].p50
    assert found["fine"].speedup == pytest.approx(speedup)


def test_two_signatures_of_one_model_are_compared(network, tmp_path):
    ranker_servable(network.part("fine"), SPEC).save(tmp_path)
    features = batch(1, 5)
    request = {**features, **pack(features, SPEC.select(FINE))}
    found = latency(
        {"columnar": tmp_path, "packed": tmp_path},
        [request],
        baseline="columnar",
        rounds=2,
        signatures={"packed": "packed"},
    )
    assert set(found) == {"columnar", "packed"} and found["packed"].p50 > 0


def test_one_cascade_is_compared_at_several_sizes(tmp_path):
    """Each name gets inputs of its own: the keys of one model's signature."""

    class Repeated(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="times")])
        def serve(self, times):
            x = tf.random.stateless_uniform([64, 64], [0, 1])
            for _ in tf.range(times):
                x = tf.nn.softmax(x @ x)
            return {"x": x}

    model = Repeated()
    tf.saved_model.save(model, tmp_path, {"serving_default": model.serve})
    found = latency(
        dict.fromkeys(("few", "many"), tmp_path),
        [{}],
        baseline="many",
        rounds=5,
        inputs={"few": {"times": 1}, "many": {"times": 200}},
    )
    assert found["few"].speedup > 1


def test_latency_needs_a_baseline_and_requests(tmp_path):
    with pytest.raises(ValueError, match="baseline='teacher', models \\['fine'\\]"):
        latency({"fine": tmp_path}, [{"x": np.zeros(1)}], baseline="teacher")


def test_a_request_without_a_feature_is_named(network, tmp_path):
    ranker_servable(network.part("fine"), SPEC).save(tmp_path)
    request = batch(1, 500)
    del request["age"]
    with pytest.raises(ValueError, match=r"takes .*; the request lacks \['age'\]"):
        latency({"fine": tmp_path}, [request], baseline="fine")
