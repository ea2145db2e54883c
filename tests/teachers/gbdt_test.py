import sys

import numpy as np
import pytest

from tfdistill.data import RequestBatches, Requests
from tfdistill.metrics import auc
from tfdistill.spec import Feature, FeatureSpec, Table
from tfdistill.teachers import GbdtTeacher
from tfdistill.trainers import LoggedTeacher

SPEC = FeatureSpec(
    (
        Feature("country", "categorical", "user", "country", dtype="string"),
        Feature("history", "categorical", "user", "item_id", (3,)),
        Feature("item_id", "categorical", "item", "item_id"),
        Feature("tags", "categorical", "item", "tag", (2,), "string"),
        Feature("price", "numeric", "item"),
    ),
    (
        Table("country", 4, kind="vocabulary", vocabulary=("it", "no")),
        Table("item_id", 4, size=200),
        Table("tag", 4, kind="hash", size=20),
    ),
)


def make(count=300, seed=0):
    """Requests whose label depends on price and tag, with padding."""
    rng = np.random.default_rng(seed)
    size = (count, 6)
    items = {
        "item_id": np.arange(150),
        "tags": np.random.default_rng(9).choice(["a", "b", ""], (150, 2)),
        "price": np.random.default_rng(8).normal(size=150).astype(np.float32),
    }
    candidates = rng.integers(0, 150, size).astype(np.int32)
    good = (items["price"] > 0) ^ (items["tags"] == "a").any(axis=1)
    labels = (good[candidates] ^ (rng.random(size) < 0.1)).astype(np.float32)
    candidates[:, 4:][rng.random((count, 2)) < 0.5] = -1
    users = {
        "country": rng.choice(["it", "no", "se"], count),
        "history": rng.integers(0, 150, (count, 3)),
    }
    return Requests(users, items, candidates, labels, rng.integers(0, 20, count))


def fit(train=None, **arguments):
    train = make() if train is None else train
    return GbdtTeacher.fit(
        SPEC, train, make(100, seed=1), rounds=30, threads=1, **arguments
    )


def replace_labels(requests, where, value):
    labels = np.where(where, value, requests.labels).astype(np.float32)
    return Requests(
        requests.users, requests.items, requests.candidates, labels, requests.group
    )


@pytest.fixture(scope="module")
def teacher():
    return fit()


def test_it_learns_what_the_label_depends_on(teacher):
    test = make(100, seed=2)
    logits, mask = teacher.logits(test), test.candidates >= 0
    assert logits.dtype == np.float32
    assert np.array_equal(np.isnan(logits), ~mask)
    assert auc(test.labels, logits, mask=mask) > 0.85


def test_it_stops_where_validation_is_best():
    early = GbdtTeacher.fit(SPEC, make(), make(100, seed=1), patience=5, threads=1)
    assert 1 <= early.booster.num_trees() < 500


def test_scores_reach_a_logged_teacher(teacher):
    requests = make(8, seed=3).with_scores({"gbdt": teacher})
    x, _, _ = next(iter(RequestBatches(requests, batch_size=8).once()))
    signal = LoggedTeacher({"score": "gbdt"})(x)["score"].numpy()
    expected = teacher.logits(requests)
    real = requests.candidates >= 0
    assert np.array_equal(signal[real], expected[real])


def test_the_seed_decides_and_the_number_of_threads_does_not(teacher):
    test = make(50, seed=2)
    expected = teacher.logits(test)
    again = GbdtTeacher.fit(SPEC, make(), make(100, seed=1), rounds=30, threads=2)
    assert np.array_equal(again.logits(test), expected, equal_nan=True)
    assert not np.array_equal(fit(seed=1).logits(test), expected, equal_nan=True)


def test_unlabelled_candidates_do_not_count():
    train = make()
    hidden = np.zeros(train.labels.shape, bool)
    hidden[:, 0] = True
    unlabelled = replace_labels(train, hidden, np.nan)
    removed = Requests(
        train.users,
        train.items,
        np.where(hidden, -1, train.candidates).astype(np.int32),
        train.labels,
        train.group,
    )
    test = make(50, seed=2)
    left, right = (fit(part).logits(test) for part in (unlabelled, removed))
    assert np.array_equal(left, right, equal_nan=True)


def test_weights_count():
    train, test = make(), make(50, seed=2)
    ignored = np.zeros(train.labels.shape, bool)
    ignored[:, 0] = True
    results = []
    for part in (train, replace_labels(train, ignored, 1.0)):
        weights = np.where(ignored, 0.0, 1.0).astype(np.float32)
        weighted = Requests(
            part.users,
            part.items,
            part.candidates,
            part.labels,
            part.group,
            weights=weights,
        )
        results.append(fit(weighted).logits(test))
    assert np.array_equal(*results, equal_nan=True)


def test_save_and_load_give_the_same_bits(teacher, tmp_path):
    path = tmp_path / "gbdt.npz"
    teacher.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["gbdt.npz"]
    loaded, test = GbdtTeacher.load(path), make(50, seed=2)
    assert loaded.columns.spec == SPEC
    assert np.array_equal(loaded.logits(test), teacher.logits(test), equal_nan=True)


def test_an_interrupted_save_keeps_the_old_file(teacher, tmp_path, monkeypatch):
    path = tmp_path / "gbdt.npz"
    teacher.save(path)
    whole = path.read_bytes()

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        teacher.save(path)
    assert path.read_bytes() == whole
    assert len(list(tmp_path.iterdir())) == 1


def test_a_damaged_file_is_named(teacher, tmp_path):
    path = tmp_path / "gbdt.npz"
    teacher.save(path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no such format"):
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=r"gbdt\.npz' can't be read as what GbdtTeacher"
        ):
            GbdtTeacher.load(path)
    np.savez(path, other=1)
    with pytest.raises(ValueError, match="Fit the teacher again"):
        GbdtTeacher.load(path)
    with pytest.raises(ValueError, match="No such file"):
        GbdtTeacher.load(tmp_path / "absent.npz")


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "train has 0.5"), (np.nan, "train has no label at all")]
)
def test_other_labels_are_refused(value, text):
    with pytest.raises(ValueError, match=text):
        fit(replace_labels(make(), True, value))


def test_a_missing_feature_is_named(teacher):
    with pytest.raises(ValueError, match="have no feature 'country'; they have"):
        teacher({"price": np.zeros(2, np.float32)})


def test_without_lightgbm_the_remedy_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    for use in (fit, lambda: GbdtTeacher.load(tmp_path)):
        with pytest.raises(ValueError, match=r"pip install 'tfdistill\[gbdt\]'"):
            use()


def test_lambdarank_learns_the_order_of_grades():
    """Grades 0 .. 3 by price: the better graded come first in nearly every list."""
    train, valid = (graded(make(count, seed)) for count, seed in ((300, 0), (100, 1)))
    teacher = GbdtTeacher.fit(
        SPEC, train, valid, objective="lambdarank", rounds=60, threads=1
    )
    scores, labels = teacher.logits(valid), valid.labels
    better = labels[:, :, np.newaxis] > labels[:, np.newaxis]
    there = valid.candidates >= 0
    both = better & there[:, :, np.newaxis] & there[:, np.newaxis]
    right = scores[:, :, np.newaxis] > scores[:, np.newaxis]
    assert right[both].mean() > 0.95


def graded(requests):
    grade = np.digitize(requests.items["price"], [-0.5, 0.3, 1.0])
    return replace_labels(requests, True, grade[np.maximum(requests.candidates, 0)])


def test_lambdarank_reads_lists_not_rows():
    """What only moves whole lists teaches nothing: labels by country alone."""
    requests = make()
    rich = (requests.users["country"] == "no")[:, np.newaxis]
    even = replace_labels(requests, True, rich.astype(np.float32))
    teacher = GbdtTeacher.fit(
        SPEC, even, graded(make(50, 1)), objective="lambdarank", rounds=5, threads=1
    )
    scores = teacher.logits(requests)
    assert np.nanmax(np.abs(scores)) == 0


@pytest.mark.parametrize(
    ("objective", "label"), [("binary", 2), ("lambdarank", 31), ("lambdarank", 0.5)]
)
def test_refuses_labels_that_the_objective_does_not_take(objective, label):
    requests = replace_labels(make(), make().candidates == 3, label)
    with pytest.raises(ValueError, match=f"whole labels.*{objective}"):
        fit(requests, objective=objective)
