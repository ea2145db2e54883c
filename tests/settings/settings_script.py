"""Writes one of everything that outlives a process; run by the other Keras."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfdistill import _keras
from tfdistill.data import Requests
from tfdistill.export import ranker_servable
from tfdistill.files import written_whole
from tfdistill.losses import SigmoidCrossEntropy, SigmoidSoftLabel
from tfdistill.models import Dnn, JointNetwork, Net, joint_network
from tfdistill.report import Data, Results, to_json
from tfdistill.scores import ScoreStore, score_batches
from tfdistill.spec import Feature, FeatureSpec, Table
from tfdistill.trainers import Distiller, FrozenTeacher, Transfer, fit

SPEC = FeatureSpec(
    (
        Feature("city", "categorical", "user", table="city", dtype="string"),
        Feature("item_id", "categorical", "item", table="item"),
        Feature("price", "numeric", "item", mean=1.0, scale=2.0),
    ),
    (
        Table("city", 4, kind="vocabulary", vocabulary=("Bern", "Zürich")),
        Table("item", 4, size=20),
    ),
)
FEATURES = {
    "city": tf.constant(["Bern", "Ulm", "Zürich", "Bern"]),
    "item_id": tf.constant([[n, n + 5, n + 19] for n in range(4)], tf.int64),
    "price": tf.reshape(tf.range(12.0), [4, 3]),
}
RESULTS = Results(
    "Title", "command", Data("made up", 9, 3, 4, split="none", parts=()), seeds=(0,)
)


def made() -> JointNetwork:
    """The network: new weights, the same in every setting."""
    nets = {
        "teacher": Net(Dnn(units=(8,)), SPEC.names),
        "fine": Net(Dnn(units=(4,)), SPEC.names),
    }
    network = joint_network(SPEC, nets)
    for number, weight in enumerate(network.model.trainable_weights):
        values = np.random.default_rng(number).normal(0, 0.3, weight.shape)
        weight.assign(values.astype(np.float32))
    return network


def trained(network: JointNetwork, backup: Path) -> Distiller:
    """A Distiller after one step, which begins a run, or goes on with it."""
    transfers = [Transfer("soft", "teacher", "fine", SigmoidSoftLabel())]
    distiller = Distiller(network.model, transfers)
    hard = SigmoidCrossEntropy()
    distiller.compile("adam", loss={"teacher": hard, "fine": hard})
    labels = tf.constant([[1.0, 0.0, 0.0]] * 4)
    batch = FEATURES, {"teacher": labels, "fine": labels}
    fit(
        distiller,
        lambda step: tf.data.Dataset.from_tensors(batch).repeat(),
        steps_per_epoch=1,
        epochs=1,
        backup_dir=backup,
        verbose=0,
    )
    return distiller


def scored(network: JointNetwork, folder: Path) -> ScoreStore:
    """The scores of a network that is as it was made, stored or verified."""
    requests = Requests(
        users={"city": FEATURES["city"].numpy()},
        items={
            "item_id": np.arange(20),
            "price": np.linspace(0, 4, 20).astype(np.float32),
        },
        candidates=FEATURES["item_id"].numpy().astype(np.int32) % 20,
        labels=np.zeros([4, 3], np.float32),
        group=np.arange(4),
        ids=np.array([f"request-{n}" for n in range(4)]),
    )
    teacher = FrozenTeacher(network.model, {"score": "teacher"})
    return score_batches(requests, teacher, folder, teacher_name="teacher")


def write(folder: Path) -> None:
    """Writes files, a backup, a SavedModel, a spec, a store and results."""
    network = made()
    scored(network, folder / "store")
    distiller = trained(network, folder / "backup")
    distiller.save(folder / "distiller.keras")
    network.model.save_weights(folder / "network.weights.h5")
    ranker_servable(network.part("fine"), SPEC).save(folder / "fine")
    SPEC.save(folder / "spec.json")
    with written_whole(folder / "results.json") as unfinished:
        unfinished.write_text(to_json(RESULTS), encoding="utf-8")
    outputs = {name: x.numpy() for name, x in network.model(FEATURES).items()}
    np.savez(folder / "expected.npz", keras=_keras.VERSION, **outputs)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
