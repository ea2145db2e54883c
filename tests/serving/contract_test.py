"""Every kind of model: the same scores from Python, the C++ loader and over gRPC."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
import tensorflow as tf
from serving_fixture import SPEC
from tensorflow.python.tools import saved_model_cli
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tfdistill.export import (
    RankingStage,
    Servable,
    cascade_servable,
    example_batch,
    ranker_servable,
    recall_servable,
)
from tfdistill.export.c_loader import call
from tfdistill.export.server_files import (
    classification_request,
    model_config,
    predict_request,
    regression_request,
)
from tfdistill.models import (
    AutoInt,
    BehaviourTransformer,
    CoarseTwoTower,
    DcnV2,
    DeepFm,
    Din,
    Dnn,
    FiBiNet,
    Fm,
    JointNetwork,
    Linear,
    Mmoe,
    Net,
    SeNetDnn,
    SequenceTower,
    TwoTower,
    XDeepFm,
    joint_network,
)
from tfdistill.serving import serve

pytestmark = pytest.mark.slow
TOLERANCE = 1e-5
ITEMS = 20
IDS = [f"film {row}" for row in range(ITEMS)]
PAIRS = (("history", "item_id"),)
RANKERS = {
    "linear": Linear(),
    "fm": Fm(),
    "deep_fm": DeepFm(units=(4,)),
    "x_deep_fm": XDeepFm(maps=(2,), units=(4,)),
    "fibinet": FiBiNet(ratio=2, units=(4,)),
    "auto_int": AutoInt(blocks=1, heads=2, dim=2, units=(4,)),
    "se_net_dnn": SeNetDnn(units=(4,)),
    "dnn": Dnn(units=(4,)),
    "dcn_v2": DcnV2(cross_layers=2, units=(4,)),
    "coarse": CoarseTwoTower((4,), dim=3, interaction=2),
    "din": Din(PAIRS, attention=(4,), units=(4,)),
    "transformer": BehaviourTransformer(PAIRS, blocks=1, heads=2, units=(4,)),
    "mmoe": Mmoe(("click", "like"), experts=2, units=(4,), tower=(3,)),
}
OF_NUMBERS = ("linear", "dnn", "dcn_v2", "coarse", "din", "transformer", "mmoe")
NAMES = (*RANKERS, "recall", "sequence_recall", "cascade")


def network(nets: dict[str, Net]) -> JointNetwork:
    """Nets whose weights are as different as trained ones."""
    made = joint_network(SPEC, nets)
    for weight in made.model.trainable_weights:
        weight.assign_add(tf.random.normal(weight.shape, stddev=0.2))
    return made


def servables() -> Iterator[tuple[str, Servable]]:
    """All kinds of models."""
    tf.keras.utils.set_random_seed(4)
    fields = [f.name for f in SPEC.features if f.table]
    nets = {
        name: Net(kind, SPEC.names if name in OF_NUMBERS else fields)
        for name, kind in RANKERS.items()
    }
    nets["recall"] = Net(TwoTower((4,), dim=3), SPEC.names)
    sequence = SequenceTower(dim=4, blocks=1)
    nets["sequence_recall"] = Net(sequence, ("history", "item_id"))
    made = network(nets)
    for name in RANKERS:
        yield name, ranker_servable(made.part(name), SPEC)
    drawn = example_batch(SPEC, batch_size=1, list_size=ITEMS)
    items = {feature.name: drawn[feature.name][0] for feature in SPEC.scope("item")}
    items["item_id"] = np.arange(ITEMS)
    towers = {
        name: [
            made.part(name, output=f"{name}_{side}", scope=scope)
            for side, scope in (("query", "user"), ("item", "item"))
        ]
        for name in ("recall", "sequence_recall")
    }
    for name, pair in towers.items():
        yield name, recall_servable(*pair, SPEC, items, IDS, k=5)
    stages = [RankingStage("coarse", made.part("coarse"), 8)]
    stages.append(RankingStage("fine", made.part("dnn"), 4))
    yield (
        "cascade",
        cascade_servable(*towers["recall"], stages, SPEC, items, IDS, recall=12),
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Each servable with its folder."""
    base = tmp_path_factory.mktemp("models")
    made = dict(servables())
    for name, servable in made.items():
        servable.save(base / name / "1")
    return {name: (servable, base / name / "1") for name, servable in made.items()}


@contextlib.contextmanager
def stock_server(binary, models, folder) -> Iterator[str]:
    """The address of a TensorFlow Serving that serves the models."""
    config = folder / "models.config"
    config.write_text(model_config({n: path.parent for n, (_, path) in models.items()}))
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    arguments = [f"--port={port}", f"--model_config_file={config}"]
    process = subprocess.Popen([binary, *arguments])
    try:
        yield f"localhost:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def stubs(models, tmp_path_factory):
    """Our server, and a real `tensorflow_model_server` where one is on the PATH."""
    binary = shutil.which("tensorflow_model_server")
    with contextlib.ExitStack() as stack:
        paths = {name: path for name, (_, path) in models.items()}
        addresses = [stack.enter_context(serve(paths)).address]
        if binary is not None:
            folder = tmp_path_factory.mktemp("stock")
            stock = stock_server(binary, models, folder)
            addresses.append(stack.enter_context(stock))
        channels = [stack.enter_context(grpc.insecure_channel(a)) for a in addresses]
        for channel in channels:
            grpc.channel_ready_future(channel).result(timeout=120)
        yield [prediction_service_pb2_grpc.PredictionServiceStub(c) for c in channels]


def by_grpc(stub, model, signature, inputs) -> dict[str, np.ndarray]:
    """The answer of the server, in the form of a signature's outputs."""
    if signature == "regress":
        answer = stub.Regress(regression_request(inputs["inputs"], model=model))
        values = [found.value for found in answer.result.regressions]
        return {"outputs": np.array(values, np.float32)}
    if signature == "classify":
        request = classification_request(inputs["inputs"], model=model)
        answer = stub.Classify(request).result.classifications
        scores = [[found.score for found in row.classes] for row in answer]
        return {"scores": np.array(scores, np.float32)}
    request = predict_request(inputs, model=model, signature=signature)
    outputs = stub.Predict(request).outputs
    return {name: tf.make_ndarray(value) for name, value in outputs.items()}


@pytest.mark.parametrize("name", NAMES)
def test_all_signatures_give_the_model_s_scores_everywhere(name, models, stubs):
    servable, path = models[name]
    loaded = tf.saved_model.load(str(path))
    in_python = {
        signature: {
            key: value.numpy()
            for key, value in loaded.signatures[signature](
                **{k: tf.constant(v) for k, v in inputs.items()}
            ).items()
        }
        for signature, inputs in servable.requests.items()
    }
    in_cpp = dict(zip(servable.requests, call(path, list(servable.requests.items()))))
    of_servers = [
        {
            signature: by_grpc(stub, name, signature, inputs)
            for signature, inputs in servable.requests.items()
        }
        for stub in stubs
    ]
    for answers in (in_python, in_cpp, *of_servers):
        assert set(answers) == set(servable.signatures)
        assert servable.difference(answers) <= TOLERANCE


def test_a_model_of_several_tasks_serves_them_by_name(models):
    servable, path = models["mmoe"]
    assert set(servable.signatures) == {
        "serving_default",
        "packed",
        "tf_example",
        "elwc",
    }
    (answer,) = call(path, [("packed", servable.requests["packed"])])
    assert set(answer) == {"mmoe_click", "mmoe_like"}
    assert not np.array_equal(answer["mmoe_click"], answer["mmoe_like"])


@pytest.mark.parametrize("name", ["recall", "coarse", "dnn", "cascade"])
def test_saved_model_cli_runs_a_model_of_each_stage(name, models, tmp_path):
    """Through its own function: the command itself takes nine seconds to start."""
    servable, path = models[name]
    request = servable.requests["serving_default"]
    saved_model_cli.run_saved_model_with_feed_dict(
        str(path), "serve", "serving_default", request, str(tmp_path), False
    )
    (expected,) = call(path, [("serving_default", request)])
    for key, values in expected.items():
        found = np.load(tmp_path / f"{key}.npy", allow_pickle=True)
        if key == "ids":
            assert found.tolist() == values.tolist()
        else:
            np.testing.assert_allclose(found, values, atol=TOLERANCE)
