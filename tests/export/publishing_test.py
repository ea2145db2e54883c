"""Publishing: verified by a process without tfdistill, all models or none."""

from __future__ import annotations

import dataclasses
import json
import os
import stat

import numpy as np
import pytest
import tensorflow as tf
from export_fixture import FINE, ITEMS, SPEC, batch, catalogue, of, towers

from tfdistill.export import (
    export_ranker,
    export_recall,
    publish,
    publishing,
    ranker_servable,
    recall_servable,
    standalone,
)


@pytest.fixture(scope="module")
def fine(network):
    return ranker_servable(network.part("fine"), SPEC)


@pytest.fixture
def fast(monkeypatch, same_process):
    monkeypatch.setattr(publishing, "in_fresh_process", same_process)


def test_all_models_are_verified_by_one_fresh_process(network, tmp_path, monkeypatch):
    started = []

    def counted(*arguments, **options):
        started.append(arguments[0])
        return standalone.in_fresh_process(*arguments, **options)

    monkeypatch.setattr(publishing, "in_fresh_process", counted)
    ids = np.arange(100, 100 + ITEMS)
    reports = publish(
        {
            tmp_path / "fine": ranker_servable(
                network.part("fine"), SPEC, example=batch(5, 11)
            ),
            tmp_path / "recall": recall_servable(
                *towers(network), SPEC, catalogue(), ids, k=5
            ),
        }
    )
    assert started == ["answers"]
    fine, recall = reports.values()
    assert fine.process == (
        f"a fresh Python process, TensorFlow {tf.__version__}, without tfdistill"
    )
    assert fine.signatures[:3] == ("serving_default", "packed", "tf_example")
    assert {"serving_default", "tf_example"} <= set(recall.signatures)
    assert fine.path == str(tmp_path / "fine" / "1")
    assert 0 <= fine.max_difference < 1e-5 and recall.max_difference < 1e-5
    assert fine.parameters.tables == 55 * 8 + 20 * 4
    files = (tmp_path / "fine" / "1").rglob("*")
    assert fine.bytes == sum(p.stat().st_size for p in files if p.is_file())
    assert json.loads(json.dumps(dataclasses.asdict(fine)))["version"] == 1
    assert {p.name for p in tmp_path.iterdir()} == {"fine", "recall"}
    loaded = tf.saved_model.load(recall.path)
    users = of(batch(), [f.name for f in SPEC.scope("user") if not f.privileged])
    answer = loaded.signatures["serving_default"](**users)
    assert answer["ids"].dtype == tf.int64 and answer["ids"].shape == (3, 5)
    assert min(answer["ids"].numpy().ravel()) >= 100


def test_export_functions_publish_one_model(network, tmp_path, fast):
    report = export_ranker(network.part("fine"), SPEC, tmp_path / "a", version=7)
    assert report.path == str(tmp_path / "a" / "7")
    report = export_recall(
        *towers(network), SPEC, catalogue(), np.arange(ITEMS), tmp_path / "b", k=3
    )
    assert report.version == 1 and (tmp_path / "b" / "1").is_dir()


def test_models_of_one_call_get_one_new_version(fine, tmp_path, fast):
    for name in ("a/9", "b/10", "b/not-a-version"):
        (tmp_path / name).mkdir(parents=True)
    reports = publish({tmp_path / name: fine for name in "abc"})
    assert {report.version for report in reports.values()} == {11}
    with pytest.raises(ValueError, match=r"got 9; the directories have \[9, 11\]"):
        publish({tmp_path / "a": fine}, version=9)
    with pytest.raises(ValueError, match="at least one model"):
        publish({})


def test_another_user_may_read_what_was_published(fine, tmp_path, fast):
    (report,) = publish({tmp_path / "fine": fine}).values()
    (tmp_path / "made").mkdir()
    wanted = stat.S_IMODE((tmp_path / "made").stat().st_mode)
    assert stat.S_IMODE(os.stat(report.path).st_mode) == wanted


def tampered(network):
    """A servable whose stored bias is not the Keras model's."""
    servable = ranker_servable(network.part("fine"), SPEC)
    table = next(v for v in servable.tracked if "width_8" in v.name)
    table.assign_add(tf.ones_like(table))
    return servable


def test_wrong_scores_in_the_fresh_process_are_found(network, fine, tmp_path):
    with pytest.raises(RuntimeError, match="wrong' answers differently.*by 0?[1-9.]"):
        publish({tmp_path / "right": fine, tmp_path / "wrong": tampered(network)})
    assert not list(tmp_path.iterdir())


def test_a_model_that_no_process_can_load_is_not_published(fine, tmp_path):
    class Damaged:
        requests = fine.requests

        def save(self, path):
            fine.save(path)
            (path / "saved_model.pb").write_bytes(b"damaged")

    with pytest.raises(RuntimeError, match=r"exit code 1.*\n(.*\n)*.*saved_model"):
        publish({tmp_path / "deep" / "fine": Damaged()})
    assert not list(tmp_path.iterdir())


def test_a_disk_error_leaves_nothing(fine, tmp_path, fast):
    class Full:
        requests = fine.requests

        def save(self, path):
            fine.save(path)
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        publish({tmp_path / "a": fine, tmp_path / "b": Full()})
    assert not list(tmp_path.iterdir())


def test_a_failed_rename_takes_the_others_back(
    fine, tmp_path, monkeypatch, same_process
):
    """Somebody else takes the place while the models are verified."""
    taken = tmp_path / "b" / "1" / "taken"

    def meanwhile(*arguments, **options):
        taken.parent.mkdir(parents=True)
        taken.write_text("")
        return same_process(*arguments, **options)

    monkeypatch.setattr(publishing, "in_fresh_process", meanwhile)
    with pytest.raises(OSError):
        publish({tmp_path / "a": fine, tmp_path / "b": fine})
    left = [p for p in tmp_path.rglob("*") if "unverified" in p.name]
    assert not left and not (tmp_path / "a" / "1").exists()
    assert list(taken.parent.iterdir()) == [taken]


def test_a_vocabulary_needs_no_file_beside_the_model(network, fine, tmp_path):
    fine.save(tmp_path / "before")
    os.rename(tmp_path / "before", tmp_path / "moved")
    loaded = tf.saved_model.load(str(tmp_path / "moved"))
    features = of(batch(), FINE)
    np.testing.assert_allclose(
        loaded.signatures["serving_default"](**features)["scores"],
        network.part("fine")(features)["fine"],
        atol=1e-6,
    )
