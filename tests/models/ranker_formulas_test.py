"""Values of the rankers against the papers' formulas, one candidate at a time."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.models import (
    AutoInt,
    BehaviourTransformer,
    DeepFm,
    Din,
    FiBiNet,
    Fm,
    Linear,
    Mmoe,
    NetInputs,
    SeNetDnn,
    SequenceTower,
    XDeepFm,
)

SIZE, LENGTH, SLOTS, WIDTH = 2, 3, 5, 4
USERS, ITEMS = ("user", "history"), ("item_id", "genre")
PAIRS = (("history", "item_id"),)
CASES = {
    "linear": Linear(),
    "fm": Fm(),
    "deep_fm": DeepFm((8, 3)),
    "x_deep_fm": XDeepFm((3, 2), (8, 3)),
    "fibinet": FiBiNet((8, 3), ratio=2),
    "auto_int": AutoInt(2, 2, 3, units=(8, 3)),
    "se_net_dnn": SeNetDnn((8, 3)),
    "din": Din(PAIRS, (6,), (8, 3)),
    "transformer": BehaviourTransformer(PAIRS, 2, 2, units=(8, 3)),
    "sequence_tower": SequenceTower(dim=WIDTH),
    "mmoe": Mmoe(("a", "b"), experts=2, units=(8, 3), tower=(3,)),
    "shared_bottom": Mmoe(("a", "b"), experts=1, units=(8, 3), tower=(3,)),
}


def build(case: str) -> tf.keras.Model:
    tf.keras.utils.set_random_seed(4)
    inputs = {name: tf.keras.Input([WIDTH], name=name) for name in USERS}
    inputs |= {name: tf.keras.Input([None, WIDTH], name=name) for name in ITEMS}
    inputs["sequence"] = tf.keras.Input([SLOTS, WIDTH], name="sequence")
    inputs["mask"] = tf.keras.Input([SLOTS], dtype=tf.bool, name="mask")
    read = NetInputs(
        {name: inputs[name] for name in USERS},
        {name: inputs[name] for name in ITEMS},
        unpooled=lambda name: (inputs["sequence"], inputs["mask"]),
    )
    model = tf.keras.Model(inputs, CASES[case](read, name="net"))
    for weight in model.trainable_weights:  # biases start at 0: give them a part
        weight.assign_add(tf.random.normal(weight.shape, stddev=0.1))
    return model


def batch() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    shapes = {name: (SIZE, WIDTH) for name in USERS}
    shapes |= {name: (SIZE, LENGTH, WIDTH) for name in ITEMS}
    shapes["sequence"] = (SIZE, SLOTS, WIDTH)
    x = {name: rng.normal(size=s).astype(np.float32) for name, s in shapes.items()}
    return {**x, "mask": np.array([[1, 1, 0, 1, 0], [0] * SLOTS], bool)}


class Candidate:
    """What a net reads of one user and one item, and the model's layers."""

    def __init__(self, model: tf.keras.Model, x, row: int, place: int) -> None:
        self.layer = model.get_layer
        users = [x[name][row] for name in USERS]
        items = [x[name][row, place] for name in ITEMS]
        self.fields = np.stack([*users, *items])
        self.user, self.item = np.concatenate(users), np.concatenate(items)
        self.known = x["sequence"][row][x["mask"][row]]
        self.sequence, self.mask = x["sequence"][row], x["mask"][row]

    def dense(self, name: str, x: np.ndarray, activation=None) -> np.ndarray:
        """A Dense, or a FoldedDense over both sides."""
        *kernels, bias = (weight.numpy() for weight in self.layer(name).weights)
        out = x @ np.concatenate(kernels) + bias
        return out if activation is None else activation(out)

    def linear(self) -> float:
        return self.dense("net_first_order", self.fields.ravel())

    def pairs(self) -> float:
        v = self.fields
        return sum(v[i] @ v[j] for i in range(len(v)) for j in range(i))

    def deep(self, x: np.ndarray | None = None, names=("net_folded", "net_0")):
        hidden = self.fields.ravel() if x is None else x
        for name in names:
            hidden = self.dense(name, hidden, relu)
        return hidden

    def call(self, name: str, *inputs: np.ndarray) -> np.ndarray:
        """A layer of the package on this candidate alone; its own test has loops."""
        tensors = [tf.constant(x)[tf.newaxis] for x in inputs]
        return self.layer(name)(tensors if tensors[1:] else tensors[0])[0].numpy()

    def tokens(self, name: str) -> np.ndarray:
        """The start and the known behaviours at their places."""
        layer = self.layer(name)
        placed = (self.sequence + layer.positions.numpy())[self.mask]
        return np.concatenate([layer.start.numpy()[0], placed]).astype(np.float32)

    def logit(self, *parts: np.ndarray, name: str = "net") -> float:
        return self.dense(f"{name}_logit", np.concatenate(parts))


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


def linear(c: Candidate):
    return c.linear()


def fm(c: Candidate):
    return c.linear() + c.pairs()


def deep_fm(c: Candidate):
    return c.linear() + c.pairs() + c.logit(c.deep())


def x_deep_fm(c: Candidate):
    compressed = c.call("net_cin", c.fields[np.newaxis])[0]
    return c.linear() + c.logit(compressed, c.deep())


def fibinet(c: Candidate):
    one = c.fields[np.newaxis]
    plain = c.call("net_bilinear", one)
    weighted = c.call("net_senet_bilinear", c.call("net_senet", one))
    products = np.concatenate([plain.ravel(), weighted.ravel()])
    return c.linear() + c.logit(c.deep(products, ("net_0", "net_1")))


def auto_int(c: Candidate):
    fields = c.fields
    for index in range(2):
        name = f"net_attention_{index}"
        w = [weight.numpy() for weight in c.layer(name).weights]
        out = w[7] + fields @ c.layer(f"{name}_skip").kernel.numpy()
        for h in range(2):
            q, k, v = (fields @ w[i][:, h] + w[i + 1][h] for i in (0, 2, 4))
            out = out + softmax(q @ k.T / np.sqrt(3)) @ v @ w[6][h]
        fields = relu(out)
    return c.logit(fields.ravel(), c.deep())


def se_net_dnn(c: Candidate):
    gates = 1 / (1 + np.exp(-c.dense("net_squeeze", c.fields.ravel())))
    scaled = (gates[:, np.newaxis] * c.fields).ravel()
    return c.logit(c.deep(scaled, ("net_gated", "net_0")))


def din(c: Candidate):
    unit, query = c.layer("net_attention"), c.fields[len(USERS)]
    interest = np.zeros(WIDTH)
    for key in c.known:
        features = np.concatenate([query, key, query * key])
        hidden = relu(features @ unit.kernel.numpy() + unit.bias.numpy())
        weight, bias = (w.numpy() for w in unit.relevance.weights)
        interest += (hidden @ weight + bias) * key
    return c.logit(c.deep(np.concatenate([c.user, c.item, interest])))


def transformer(c: Candidate):
    states = c.tokens("net_tokens")
    query, every = c.fields[[len(USERS)]], np.ones(len(states), bool)
    for index in range(2):
        block = f"net_block_{index}"
        # Together they are a sequence in which nobody sees the candidate.
        query = c.call(block, query, states, every)
        states = c.call(block, states, states, every)
    read = [c.user, states.mean(axis=0), c.item, query[0]]
    return c.logit(c.deep(np.concatenate(read)))


def sequence_tower(c: Candidate):
    states = c.tokens("net_query_tokens")
    for index in range(2):  # of every token, of which only the start's vector is read
        block, every = f"net_query_block_{index}", np.ones(len(states), bool)
        states = c.call(block, states, states, every)
    return [states[0] @ c.dense("net_item_vector", c.item)]


def mmoe(c: Candidate, task: str = "a"):
    x = c.fields.ravel()
    names = [(f"net_expert_{i}_folded", f"net_expert_{i}_0") for i in range(2)]
    experts = np.stack([c.deep(x, pair) for pair in names])
    mixed = softmax(c.dense(f"net_{task}_gates", x)) @ experts
    return c.logit(c.deep(mixed, (f"net_{task}_0",)), name=f"net_{task}")


def shared_bottom(c: Candidate, task: str = "a"):
    """One expert: there is nothing to mix, and no gate."""
    expert = c.deep(names=("net_expert_0_folded", "net_expert_0_0"))
    return c.logit(c.deep(expert, (f"net_{task}_0",)), name=f"net_{task}")


REFERENCES = [
    linear,
    fm,
    deep_fm,
    x_deep_fm,
    fibinet,
    auto_int,
    se_net_dnn,
    din,
    transformer,
    sequence_tower,
    shared_bottom,
    mmoe,
]


@pytest.mark.parametrize("reference", REFERENCES)
def test_logits_equal_the_formula(reference):
    model, x = build(reference.__name__), batch()
    found = model(x)
    logits = found["net" if "net" in found else "net_a"]
    for row in range(SIZE):
        for place in range(LENGTH):
            expected = reference(Candidate(model, x, row, place))
            np.testing.assert_allclose(logits[row, place], expected[0], atol=1e-4)


def test_each_task_has_a_gate_and_a_tower():
    model, x = build("mmoe"), batch()
    expected = mmoe(Candidate(model, x, 1, 2), task="b")
    np.testing.assert_allclose(model(x)["net_b"][1, 2], expected[0], atol=1e-4)


@pytest.mark.parametrize("case", ["din", "transformer", "sequence_tower"])
def test_what_lies_in_padded_slots_changes_nothing(case):
    model, x = build(case), batch()
    other = np.where(x["mask"][..., np.newaxis], x["sequence"], 1e3)
    found = model({**x, "sequence": other.astype(np.float32)})
    for name, value in model(x).items():
        np.testing.assert_allclose(found[name], value, atol=1e-5)


@pytest.mark.parametrize("case", ["din", "transformer"])
def test_candidates_and_histories_of_other_widths_are_refused(case):
    read = NetInputs(
        {"history": tf.keras.Input([WIDTH])},
        {"item_id": tf.keras.Input([None, WIDTH + 1])},
        unpooled=lambda name: (
            tf.keras.Input([SLOTS, WIDTH]),
            tf.keras.Input([SLOTS], dtype=tf.bool),
        ),
    )
    with pytest.raises(ValueError, match=r"must have one width, got \[5, 4\]"):
        CASES[case](read, name="net")
