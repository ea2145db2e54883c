"""Any name that a column may have trains, is exported and is served under that name."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    prediction_service_pb2_grpc,
)

from tfdistill import _keras
from tfdistill.export import (
    RankingStage,
    cascade_servable,
    example_batch,
    publish,
    ranker_servable,
    recall_servable,
    reindexed,
)
from tfdistill.export.c_loader import call
from tfdistill.export.server_files import (
    classification_request,
    predict_request,
    regression_request,
)
from tfdistill.layers import standalone
from tfdistill.losses import LogitMSE, SigmoidCrossEntropy
from tfdistill.models import Dnn, Mmoe, Net, Representation, TwoTower, joint_network
from tfdistill.names import check_name, feature_names, safe_name
from tfdistill.spec import RESERVED_NAMES, Feature, FeatureSpec, Table
from tfdistill.teachers import SavedModelTeacher
from tfdistill.trainers import Distiller, FrozenTeacher, Transfer

pytestmark = pytest.mark.filterwarnings(
    "ignore:Gradients do not exist for variables"  # of what no loss reaches
)

NAMES = (
    # keywords of Python, and what TensorFlow's functions call themselves
    *("class", "from", "None", "self", "args", "kwargs", "training"),
    # what TensorFlow's scopes refuse, and pairs that it makes one of
    *("_id", "user-id", "user_id", "a.b", "a_b", "a b", "user:token", "3d", "x/y", "/"),
    *("größe", "价格", "e\u0301", "\xe9", "a\\b", "50%", "{x}", "'"),
    # names that differ in case
    *("Age", "age", "AGE"),
    # names of nets, their layers, signatures, other inputs and Keras' own keys
    *("fine", "teacher", "fine_hidden_0", "embeddings", "representation_age"),
    *("concatenate", "scores", "serialized", "serving_default", "sizes"),
    *("exclude", "k", "ids", "keep_recall", "item_ids", "user_ids"),
    *("class_name", "config", "name"),
)
SOME = ("class", "self", "a.b", "a_b", "价格", "Age", "age", "teacher", "fine")
SOME = (*SOME, "exclude", "k", "ids", "keep_recall", "user_ids")
ODD = ("item/id", "price €", "Price €", "is", "item_strings")
USERS = tuple(
    Feature(name, "numeric", "user")
    if place % 3
    else Feature(name, "categorical", "user", "a/b.c d", shape=(2,))
    for place, name in enumerate(NAMES)
)
ITEMS = (
    Feature("item/id", "categorical", "item", "class"),
    Feature("is", "categorical", "item", "Straße", dtype="string"),
    Feature("item_strings", "categorical", "item", "Straße", (2,), dtype="string"),
    Feature("price €", "numeric", "item", mean=3.0),
    Feature("Price €", "numeric", "item", scale=2.0),
)
SPEC = FeatureSpec(
    (*USERS, *ITEMS),
    (
        Table("a/b.c d", 4, size=9),
        Table("class", 4, size=30),
        Table("Straße", 4, kind="vocabulary", vocabulary=("x", "y")),
    ),
)
TOLERANCE = 1e-5
CATALOGUE = 12
FINE, WIDE = "fine", "my teacher/1"


def batch(seed: int = 1) -> dict[str, tf.Tensor]:
    drawn = example_batch(SPEC, batch_size=3, list_size=4, seed=seed)
    return {f.name: tf.constant(drawn[f.name], f.dtype) for f in SPEC.features}


@pytest.fixture(scope="module")
def network():
    """Three nets over features of all names, after a step of training."""
    tf.keras.utils.set_random_seed(1)
    nets = {
        FINE: Net(Dnn((4,)), SPEC.names),
        WIDE: Net(Dnn((4,)), (*SOME, *ODD)),
        "recall": Net(TwoTower((4,), 4), (*SOME, *ODD), task="recall"),
    }
    joint = joint_network(
        SPEC,
        nets,
        representation=Representation(4),
        auxiliary=[WIDE],
        hints=[(f"{WIDE}_hidden", f"{FINE}_hidden")],
    )
    transfer = Transfer("a b", WIDE, FINE, LogitMSE())
    model = Distiller(joint.model, [transfer])
    hard = (FINE, WIDE)
    model.compile("sgd", loss={name: SigmoidCrossEntropy() for name in hard})
    labels = dict.fromkeys(hard, tf.constant(np.eye(3, 4, dtype=np.float32)))
    before = [x.numpy() for x in joint.model.trainable_weights]
    features = {**batch(), "mask": tf.ones([3, 4], tf.bool)}
    history = model.fit(tf.data.Dataset.from_tensors((features, labels)), verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    changed = [
        np.any(x != y.numpy()) for x, y in zip(before, joint.model.trainable_weights)
    ]
    assert sum(changed) > len(changed) / 2
    return joint


@pytest.fixture(scope="module")
def items() -> dict[str, np.ndarray]:
    drawn = example_batch(SPEC, batch_size=1, list_size=CATALOGUE, seed=4)
    return {f.name: drawn[f.name][0] for f in ITEMS}


def towers(network) -> list[tf.keras.Model]:
    return [
        network.part("recall", output=f"recall_{tower}", scope=scope)
        for tower, scope in (("query", "user"), ("item", "item"))
    ]


@pytest.fixture(scope="module")
def servables(network, items):
    ids = [f"id {row}" for row in range(CATALOGUE)]
    stages = [RankingStage(WIDE, network.part(WIDE), 6)]
    pair = towers(network)
    return {
        "fine": ranker_servable(network.part(FINE), SPEC),
        "recall": recall_servable(*pair, SPEC, items, ids, k=3),
        "cascade": cascade_servable(*pair, stages, SPEC, items, ids, recall=9),
    }


@pytest.fixture(scope="module")
def published(servables, tmp_path_factory):
    """All models, verified by another Python process; their reports."""
    base = tmp_path_factory.mktemp("models")
    reports = publish({base / name: x for name, x in servables.items()})
    return {folder.name: report for folder, report in reports.items()}


def test_another_process_gives_the_keras_model_s_scores(published, servables):
    for name, report in published.items():
        assert set(report.signatures) == set(servables[name].signatures)
        assert report.max_difference <= TOLERANCE


def test_the_c_loader_serves_the_columns_names(published, servables):
    for name, servable in servables.items():
        path = published[name].path
        answers = call(path, list(servable.requests.items()))
        found = dict(zip(servable.requests, answers))
        assert servable.difference(found) <= TOLERANCE, name


def test_grpc_serves_the_columns_names(published, servables):
    import grpc

    from tfdistill.serving import serve

    models = {name: report.path for name, report in published.items()}
    with serve(models) as server, grpc.insecure_channel(server.address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for name, servable in servables.items():
            found = {
                signature: answered(stub, name, signature, request)
                for signature, request in servable.requests.items()
            }
            assert servable.difference(found) <= TOLERANCE, name
        request = get_model_metadata_pb2.GetModelMetadataRequest()
        request.model_spec.name = "fine"
        request.metadata_field.append("signature_def")
        response = stub.GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    default = signatures.signature_def["serving_default"]
    assert set(default.inputs) == set(SPEC.names)


def answered(stub, model: str, signature: str, request) -> dict[str, np.ndarray]:
    if signature == "classify":
        sent = classification_request(request["inputs"], model=model)
        found = stub.Classify(sent).result.classifications
        scores = [[label.score for label in x.classes] for x in found]
        return {"scores": np.array(scores, np.float32)}
    if signature == "regress":
        sent = regression_request(request["inputs"], model=model)
        found = stub.Regress(sent).result.regressions
        return {"outputs": np.array([x.value for x in found], np.float32)}
    sent = predict_request(request, model=model, signature=signature)
    return {k: tf.make_ndarray(x) for k, x in stub.Predict(sent).outputs.items()}


def test_a_loaded_signature_takes_the_names_in_python(published, network):
    loaded = tf.saved_model.load(published["fine"].path)
    function = loaded.signatures["serving_default"]
    specs = function.structured_input_signature[1]
    assert {x.name for x in specs.values()} == set(SPEC.names)
    features = batch()
    expected = network.part(FINE)(features)[FINE]
    by_key = {key: features[x.name] for key, x in specs.items()}
    np.testing.assert_allclose(function(**by_key)["scores"], expected, atol=TOLERANCE)


def test_an_export_is_a_teacher_of_the_same_columns(published, network):
    features = batch()
    expected = network.part(FINE)(features)[FINE]
    teacher = SavedModelTeacher(published["fine"].path)
    np.testing.assert_allclose(teacher(features)["score"], expected, atol=TOLERANCE)
    frozen = FrozenTeacher(network.part(FINE), {"score": FINE})
    np.testing.assert_array_equal(frozen({**features, "more": 0})["score"], expected)


def test_a_recall_model_is_indexed_anew(published, items):
    some = {name: column[:5] for name, column in items.items()}
    servable = reindexed(published["recall"].path, SPEC, some, np.arange(5), k=2)
    request = {
        x.name: tf.constant(servable.requests["item"][name], x.dtype)
        for name in servable.requests["item"]
        for x in servable.signatures["item"].structured_input_signature[0][0].values()
        if x.name == safe_name(name)
    }
    assert servable.signatures["item"](**request)["vector"].shape == [5, 4]


def test_weights_are_read_back(network, tmp_path):
    part, features = network.part(FINE), batch()
    expected = part(features)[FINE].numpy()
    again = standalone(part)
    part.save_weights(tmp_path / "part.weights.h5")
    again.set_weights([0 * x for x in again.get_weights()])
    again.load_weights(tmp_path / "part.weights.h5")
    np.testing.assert_array_equal(again(features)[FINE], expected)


def test_a_model_is_read_back(tmp_path):
    """Keras 3 takes a layer's dict of "class_name" and "config" for an object."""
    theirs = {"config"} if _keras.VERSION == "3" else set()
    names = [name for name in SPEC.names if name not in theirs]
    part = joint_network(SPEC, {FINE: Net(Dnn((4,)), names)}).part(FINE)
    part.save(tmp_path / "part.keras")
    with _keras.inputs_by_feature():
        again = tf.keras.models.load_model(tmp_path / "part.keras")
    features = {name: column for name, column in batch().items() if name in names}
    np.testing.assert_array_equal(again(features)[FINE], part(features)[FINE])


def test_a_distiller_of_keras_own_keys_is_read_back_or_not_written(network, tmp_path):
    distiller, path = Distiller(network.model), tmp_path / "all.keras"
    if _keras.VERSION == "3":
        with pytest.raises(ValueError, match="can't hold its network.*save_weights"):
            distiller.save(path)
        assert not path.exists()
        return
    distiller.save(path)
    again = tf.keras.models.load_model(path)
    np.testing.assert_array_equal(again(batch())[FINE], distiller(batch())[FINE])


def test_tasks_may_have_any_name(tmp_path):
    spec = SPEC.select(["class", "age", "item/id"])
    tasks = ("click-through", "class", "watched 50 %")
    net = Net(Mmoe(tasks, 2, (4,), (4,)), spec.names)
    network = joint_network(spec, {"my net": net})
    outputs = [f"my net_{task}" for task in tasks]
    assert list(net.scores("my net")) == outputs
    servable = ranker_servable(network.part("my net"), spec)
    report = publish({tmp_path / "net": servable})[tmp_path / "net"]
    names = list(servable.requests)
    answers = call(report.path, [(name, servable.requests[name]) for name in names])
    assert set(answers[0]) == set(outputs)
    assert servable.difference(dict(zip(names, answers))) <= TOLERANCE
    loaded = tf.saved_model.load(report.path)
    features = {n: tf.constant(x) for n, x in servable.requests[names[0]].items()}
    by_keyword = loaded.signatures["serving_default"](**features)
    assert set(features) == {"class", "age", "item/id"}
    np.testing.assert_array_equal(by_keyword[outputs[0]], answers[0][outputs[0]])


@pytest.mark.parametrize("name", [*NAMES, *ODD])
def test_a_safe_name_is_a_scope_an_argument_and_never_another_s(name):
    safe = safe_name(name)
    with tf.name_scope(safe):
        tf.constant(0)
    assert safe.isascii() and safe.isidentifier()
    others = {safe_name(other) for other in (*NAMES, *ODD) if other != name}
    assert safe not in others
    plain = {"age", "Age", "AGE", "user_id", "fine", "k", "config"}
    assert (safe == name) or name not in plain


def test_plain_columns_keep_their_input_layers():
    spec = FeatureSpec(
        (Feature("age", "numeric", "user"), Feature("item_id", "numeric", "item"))
    )
    part = joint_network(spec, {"fine": Net(Dnn((4,)), spec.names)}).part("fine")
    assert list(feature_names(part)) == _keras.input_names(part) == ["age", "item_id"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "not empty"),
        ("  ", "not empty"),
        (None, "must be text"),
        (7, "must be text"),
        ("a\nb", "a control character, got '\\\\n' at position 1"),
        ("a\x00", "control character"),
        ("\x7f", "control character"),
        ("a\u2028b", "line separator"),
        ("\ud800", "half of a character"),
    ],
)
def test_what_is_no_name_is_refused_when_the_spec_is_read(name, message):
    with pytest.raises(ValueError, match=message):
        Feature(name, "numeric", "user")
    with pytest.raises(ValueError, match=message):
        Table(name, 4, size=3)
    with pytest.raises(ValueError, match=message):
        joint_network(SPEC, {name: Net(Dnn((4,)), SPEC.names)})
    with pytest.raises(ValueError, match=message):
        Mmoe((name,))


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_keys_of_a_batch_are_refused_by_name(name):
    with pytest.raises(ValueError, match=f"'{name}': a name must be none of .*rename"):
        Feature(name, "numeric", "user")


def test_names_that_repeat_are_refused():
    twice = (Feature("a b", "numeric", "user"), Feature("a b", "numeric", "item"))
    with pytest.raises(ValueError, match="feature name repeats"):
        FeatureSpec(twice)
    assert check_name("Feature", "a b") == "Feature 'a b'"
