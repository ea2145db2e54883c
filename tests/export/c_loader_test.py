"""TensorFlow's C++ loader gives the answers of Python, strings and errors included."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from export_fixture import SPEC, network
from tensorflow.core.protobuf import saved_model_pb2

from tfdistill.export import ranker_servable
from tfdistill.export.c_loader import Failure, arrays, call, loaded, timed, wire

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def fine(tmp_path_factory):
    path = tmp_path_factory.mktemp("fine")
    servable = ranker_servable(network().part("fine"), SPEC)
    servable.save(path)
    return servable, path


@pytest.fixture(scope="module")
def answers(fine):
    """Of a process without Python's TensorFlow: every signature, then what is wrong."""
    servable, path = fine
    packed = servable.requests["packed"]
    wrong = [
        ("nothing", packed),
        ("packed", {"mask": packed["mask"]}),
        ("packed", {**packed, "item_ids": packed["item_ids"].astype(np.float32)}),
        ("packed", {**packed, "item_ids": packed["item_ids"][:, :2]}),
        ("elwc", {"serialized": np.array([b"\x0a\xff broken"], object)}),
    ]
    return call(path, [*servable.requests.items(), *wrong, ("packed", packed)])


def test_every_signature_gives_the_model_s_scores(fine, answers):
    servable, _ = fine
    found = dict(zip(servable.requests, answers))
    assert servable.difference(found) <= TOLERANCE
    assert found["classify"]["classes"][0].tolist() == [b"0", b"1"]


def test_what_is_wrong_is_an_error_and_the_model_goes_on(fine, answers):
    servable, _ = fine
    *found, after = answers[len(servable.requests) :]
    assert all(isinstance(failure, Failure) for failure in found)
    assert [failure.args[0] for failure in found] == [9, 3, 3, 3, 15]
    assert 'key "nothing" not found' in found[0].args[1]
    assert "Missing but required: ['item_ids', 'item_numbers'" in found[1].args[1]
    assert servable.difference({"packed": after}) <= TOLERANCE


def test_the_model_runs_in_this_process_too(fine):
    servable, path = fine
    model = loaded(path)
    found = {n: arrays(model.answer(n, wire(x))) for n, x in servable.requests.items()}
    assert servable.difference(found) <= TOLERANCE


def test_arrays_survive_the_way_there_and_back():
    given = {
        "text": np.array([["", "Zürich"], [b"\xff\x00", b"x" * 100]], object),
        "rate": np.array([np.nan, np.inf], np.float32),
        "empty": np.zeros([2, 0], np.int64),
        "flag": np.array(True),
    }
    found = arrays(wire(given))
    assert found["text"].tolist()[0] == [b"", "Zürich".encode()]
    for name in ("rate", "empty", "flag"):
        assert found[name].dtype == given[name].dtype
        np.testing.assert_array_equal(found[name], given[name])


def test_models_are_timed_in_turns(fine):
    servable, path = fine
    rows = [(path, name, servable.requests[name]) for name in ("packed", "regress")]
    spent = timed(rows, rounds=3)
    assert [len(row) for row in spent] == [3, 3]
    assert all(time > 0 for row in spent for time in row)


def test_a_signature_of_a_tensor_that_is_not_there_is_an_error(fine, tmp_path):
    """To run it ended the process that did."""
    servable, path = fine
    shutil.copytree(path, tmp_path / "1")
    file = tmp_path / "1" / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    signatures = model.meta_graphs[0].signature_def
    signatures["packed"].inputs["mask"].name = "nothing:0"
    signatures["regress"].outputs["outputs"].name = ""
    file.write_bytes(model.SerializeToString())
    names = ("packed", "regress", "serving_default")
    found = call(tmp_path / "1", [(name, servable.requests[name]) for name in names])
    assert [answer.args[0] for answer in found[:2]] == [5, 5]
    assert "no tensor 'nothing:0'" in found[0].args[1]
    assert servable.difference({"serving_default": found[2]}) <= TOLERANCE


@pytest.mark.parametrize("threads", [127, 128, 300])
def test_any_number_of_threads_can_be_asked_for(fine, threads):
    servable, path = fine
    found = loaded(path, threads=threads).answer(
        "packed", wire(servable.requests["packed"])
    )
    assert servable.difference({"packed": arrays(found)}) <= TOLERANCE


def test_what_can_t_be_loaded_is_reported(tmp_path):
    with pytest.raises(RuntimeError, match="exit code 1.*\n(.*\n)*.*SavedModel"):
        call(tmp_path, [])
    with pytest.raises(Failure, match="SavedModel"):
        loaded(tmp_path)
