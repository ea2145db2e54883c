import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfdistill.data.batching import RequestBatches
from tfdistill.data.requests import Requests
from tfdistill.pairs import Pairs


def make(num_requests=11, list_size=6, num_items=20, seed=0):
    """Lists of different lengths without repeats, some labels unknown."""
    rng = np.random.default_rng(seed)
    candidates = np.argsort(rng.random((num_requests, num_items)), axis=1)
    candidates = candidates[:, :list_size].astype(np.int32)
    length = rng.integers(1, list_size + 1, num_requests)
    candidates[np.arange(list_size) >= length[:, np.newaxis]] = -1
    labels = rng.choice([0, 1, np.nan], candidates.shape).astype(np.float32)
    return Requests(
        users={"row": np.arange(num_requests)},
        items={
            "item_id": np.arange(num_items) + 100,
            "name": np.array([f"item {i}" for i in range(num_items)]),
            "tags": rng.integers(0, 9, (num_items, 3)),
        },
        candidates=candidates,
        labels=labels,
        group=rng.integers(0, 4, num_requests),
    )


def take(dataset, count):
    return list(dataset.take(count).as_numpy_iterator())


def assert_equal(one, other):
    tf.nest.assert_same_structure(one, other)
    for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other)):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("start", [1, 2, 3, 7, 11, 40])
def test_a_dataset_started_at_a_step_is_the_rest_of_the_one_from_zero(start):
    requests = make()
    batches = RequestBatches(
        requests, batch_size=4, seed=3, negatives=5, known=requests.positives()
    )
    assert_equal(take(batches(start), 4), take(batches(0).skip(start), 4))


def test_seed_decides_everything():
    def first(seed):
        return take(RequestBatches(make(), batch_size=8, seed=seed, negatives=3)(), 3)

    assert_equal(first(1), first(1))
    for key in ("row", "item_row"):
        same = [
            np.array_equal(a[0][key], b[0][key]) for a, b in zip(first(1), first(2))
        ]
        assert not any(same)


@pytest.mark.parametrize("batch_size", [1, 4, 11, 30])
def test_every_epoch_has_every_request_once(batch_size):
    batches = RequestBatches(make(), batch_size=batch_size, seed=1)
    assert batches.steps_per_epoch == -(-11 // batch_size)
    rows = np.concatenate([b[0]["row"] for b in take(batches(), 44)])
    assert rows.size == 44 * batch_size
    epochs = rows[: rows.size // 11 * 11].reshape(-1, 11)
    np.testing.assert_array_equal(
        np.sort(epochs), np.tile(np.arange(11), (len(epochs), 1))
    )
    assert len({tuple(epoch) for epoch in epochs}) == len(epochs)


def test_without_shuffle_requests_come_in_order():
    batches = RequestBatches(make(), batch_size=4, shuffle=False)
    rows = [b[0]["row"].tolist() for b in take(batches(), 4)]
    assert rows == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 0], [1, 2, 3, 4]]


def test_features_labels_and_weights_belong_to_the_candidates():
    requests = make()
    batches = RequestBatches(
        requests, batch_size=5, negatives=2, outputs=("recall", "fine")
    )
    for x, y, w in take(batches(), 5):
        rows, item_row, mask = x["row"], x["item_row"], x["mask"]
        np.testing.assert_array_equal(item_row[:, :6], requests.candidates[rows])
        for name in ("item_id", "name", "tags"):
            values = requests.items[name]
            values = np.char.encode(values) if name == "name" else values
            np.testing.assert_array_equal(x[name][mask], values[item_row[mask]])
        assert not mask[item_row < 0].any()
        labels = requests.labels[rows]
        known = ~np.isnan(labels) & mask[:, :6]
        np.testing.assert_array_equal(y["fine"][:, :6], np.where(known, labels, 0))
        np.testing.assert_array_equal(w["fine"][:, :6], known)
        np.testing.assert_array_equal(y["fine"][:, 6:], 0)
        np.testing.assert_array_equal(w["fine"][:, 6:], mask[:, 6:])
        assert set(y) == set(w) == {"recall", "fine"}
        assert y["fine"].dtype == w["fine"].dtype == np.float32
        np.testing.assert_array_equal(y["fine"], y["recall"])


def test_negatives_are_masked_exactly_where_they_collide():
    requests = make()
    known = requests.positives()
    batches = RequestBatches(requests, batch_size=11, negatives=40, known=known)
    drawn_total = np.zeros(20)
    for x, _, _ in take(batches(), 50):
        listed, drawn = x["item_row"][:, :6], x["item_row"][:, 6:]
        group = requests.group[x["row"]]
        collides = np.array(
            [
                [i in own or known.contains([g], [i])[0] for i in row]
                for own, g, row in zip(listed, group, drawn)
            ]
        )
        np.testing.assert_array_equal(x["mask"][:, 6:], ~collides)
        drawn_total += np.bincount(drawn.ravel(), minlength=20)
    expected = drawn_total.sum() / 20
    assert ((drawn_total - expected) ** 2 / expected).sum() < 45  # chi2, 19 df, p .001


@pytest.mark.parametrize("negatives", [0, 7])
def test_log_q_is_the_share_seen_in_many_batches(negatives):
    requests = make()
    known = requests.positives()
    batches = RequestBatches(
        requests, batch_size=11, negatives=negatives, known=known, seed=4
    )
    count, log_q = np.zeros(20), np.full(20, np.nan)
    for x, _, _ in take(batches(), 1500):
        rows = x["item_row"][x["mask"]]
        count += np.bincount(rows, minlength=20)
        log_q[rows] = x["log_q"][x["mask"]]
    seen = count > 0
    np.testing.assert_allclose(
        np.exp(log_q[seen]), (count / count.sum())[seen], rtol=0.02
    )


def pool_of(requests, size=8, seed=7):
    """Eight of the items that none of a user's lists holds, some of them missing."""
    rng = np.random.default_rng(seed)
    pool = np.full((1 + requests.group.max(), size), -1, np.int32)
    for user in range(len(pool)):
        own = requests.candidates[requests.group == user]
        left = rng.permutation(np.setdiff1d(np.arange(requests.num_items), own))
        pool[user, : min(size - user, len(left))] = left[: size - user]
    return pool


def test_pooled_items_are_distinct_unlabelled_and_the_users_own():
    requests = make()
    pool = pool_of(requests)
    batches = RequestBatches(
        requests, batch_size=5, negatives=2, pool=pool, from_pool=4
    )
    came = set()
    for x, y, w in take(batches(), 200):
        drawn, mask = x["item_row"][:, 8:], x["mask"][:, 8:]
        assert drawn.shape == (5, 4)
        np.testing.assert_array_equal(mask, drawn >= 0)
        np.testing.assert_array_equal(x["pair_weight"][:, 8:], mask)
        assert not w["fine"][:, 8:].any() and not y["fine"][:, 8:].any()
        users = requests.group[x["row"]]
        for part in range(4):  # one of two neighbours each
            pair = pool[users][:, 2 * part : 2 * part + 2]
            assert (drawn[:, part, np.newaxis] == pair).any(axis=1).all()
        came |= set(zip(users.repeat(4), drawn.ravel()))
    assert came == {(u, i) for u in np.unique(requests.group) for i in pool[u]}


def test_batches_with_a_pool_start_at_any_step():
    requests = make()
    batches = RequestBatches(
        requests, batch_size=4, negatives=2, pool=pool_of(requests), from_pool=3
    )
    assert_equal(take(batches(5), 3), take(batches().skip(5), 3))


def test_log_q_counts_the_pools():
    requests = make()
    known = Pairs(
        np.repeat(requests.group, 6), np.maximum(requests.candidates, 0).ravel(), 20
    )
    pool = pool_of(requests)
    pool[known.contains(np.arange(len(pool))[:, np.newaxis], pool)] = -1
    batches = RequestBatches(
        requests, batch_size=11, negatives=3, known=known, pool=pool, from_pool=4
    )
    count, log_q = np.zeros(20), np.full(20, np.nan)
    for x, _, _ in take(batches(), 1500):
        rows = x["item_row"][x["mask"]]
        count += np.bincount(rows, minlength=20)
        log_q[rows] = x["log_q"][x["mask"]]
    np.testing.assert_allclose(np.exp(log_q), count / count.sum(), rtol=0.03)


@pytest.mark.parametrize(
    ("pool", "from_pool", "message"),
    [
        (None, 2, "int32"),
        (np.zeros((4, 5)), 2, "int32"),
        (np.zeros((1, 5), np.int32), 2, "users"),
        (np.zeros((4, 5), np.int32), 6, "between 1 and the 5"),
        (np.zeros((4, 5), np.int32), 0, "between 1 and the 5"),
        (np.full((4, 5), 20, np.int32), 2, "below 20"),
    ],
)
def test_a_pool_must_fit(pool, from_pool, message):
    with pytest.raises(ValueError, match=message):
        RequestBatches(make(), batch_size=4, pool=pool, from_pool=from_pool)


def test_positive_is_uniform_over_the_interactions_of_the_list():
    requests = make(num_requests=4, seed=2)
    requests.labels[0, :3] = 1.0
    requests.candidates[0, :4] = [3, 4, 5, 6]
    requests.labels[1] = 0.0
    batches = RequestBatches(requests, batch_size=4, seed=9)
    count = np.zeros((4, 7))
    for x, _, _ in take(batches(), 2000):
        np.add.at(count, (x["row"], x["positive"]), 1)
    for row in range(4):
        able = (requests.labels[row] > 0) & (requests.candidates[row] >= 0)
        if not able.any():
            assert count[row, -1] == 2000
            continue
        assert count[row, :6][~able].sum() == count[row, -1] == 0
        expected = 2000 / able.sum()
        np.testing.assert_allclose(count[row, :6][able], expected, atol=150)
    assert count[1, -1] == 2000


def test_once_gives_every_request_in_order_and_nothing_drawn():
    requests = make()
    batches = RequestBatches(requests, batch_size=4, negatives=3)
    evaluated = list(batches.once().as_numpy_iterator())
    assert [len(x["row"]) for x, _, _ in evaluated] == [4, 4, 3]
    together = {
        key: np.concatenate([x[key] for x, _, _ in evaluated])
        for key in evaluated[0][0]
    }
    np.testing.assert_array_equal(together["row"], np.arange(11))
    np.testing.assert_array_equal(together["item_row"], requests.candidates)
    positive = (requests.labels > 0) & (requests.candidates >= 0)
    expected = np.where(positive.any(1), positive.argmax(1), -1)
    np.testing.assert_array_equal(together["positive"], expected)
    tf.nest.assert_same_structure(batches.once().element_spec, batches().element_spec)


def make_rich():
    """With labels of two more tasks, two teachers' scores and weights."""
    requests, rng = make(), np.random.default_rng(1)
    size = requests.candidates.shape
    return dataclasses.replace(
        requests,
        tasks={
            name: rng.choice([0, 1, np.nan], size).astype(np.float32)
            for name in ("like", "share")
        },
        scores={
            "big": rng.normal(size=size).astype(np.float32),
            "trees": rng.choice([0.5, 2, np.nan], size).astype(np.float32),
        },
        weights=rng.choice([0, 0.5, 3], size).astype(np.float32),
    )


OUTPUTS = {"fine": "", "fine_like": "like", "again": ""}


def everything(requests, **options):
    """Batches of training, and those of evaluation."""
    batches = RequestBatches(requests, batch_size=5, outputs=OUTPUTS, **options)
    return take(batches(), 5) + list(batches.once().as_numpy_iterator())


def test_each_output_learns_its_task_by_its_weights():
    requests = make_rich()
    for x, y, w in everything(requests, negatives=3):
        assert set(y) == set(w) == set(OUTPUTS)
        for output, task in OUTPUTS.items():
            labels = requests.tasks[task] if task else requests.labels
            assert y[output].dtype == w[output].dtype == np.float32
            for row, request in enumerate(x["row"]):
                for place in range(x["mask"].shape[1]):
                    label, weight = 0.0, 1.0
                    if place < requests.list_size:
                        label = labels[request, place]
                        weight = requests.weights[request, place]
                    if np.isnan(label) or not x["mask"][row, place]:
                        label = weight = 0.0
                    assert y[output][row, place] == label
                    assert w[output][row, place] == weight


def test_scores_are_features_and_nan_for_what_no_teacher_scored():
    requests = make_rich()
    for x, _, _ in everything(requests, negatives=3):
        for name, scores in requests.scores.items():
            expected = np.full(x["mask"].shape, np.nan, np.float32)
            for row, request in enumerate(x["row"]):
                for place, item in enumerate(requests.candidates[request]):
                    if item >= 0:
                        expected[row, place] = scores[request, place]
            np.testing.assert_array_equal(x[name], expected)
            assert x[name].dtype == np.float32
            assert x[name].shape == x["item_row"].shape


@pytest.mark.parametrize("weighted", [True, False])
def test_every_unmasked_pair_has_a_weight_labelled_or_not(weighted):
    requests = make_rich()
    if not weighted:
        requests = dataclasses.replace(requests, weights=None)
    for x, _, _ in everything(requests, negatives=3, label_negatives=False):
        expected = np.ones(x["mask"].shape, np.float32)
        if weighted:
            expected[:, : requests.list_size] = requests.weights[x["row"]]
        found = x["pair_weight"]
        np.testing.assert_array_equal(found, np.where(x["mask"], expected, 0))
        assert found.dtype == np.float32


def test_unlabelled_negatives_differ_in_their_weight_alone():
    labelled = everything(make_rich(), negatives=4)
    unlabelled = everything(make_rich(), negatives=4, label_negatives=False)
    for (x, y, w), (ux, uy, uw) in zip(labelled, unlabelled):
        assert_equal(x, ux)
        assert_equal(y, uy)
        for output in OUTPUTS:
            np.testing.assert_array_equal(uw[output][:, :6], w[output][:, :6])
            assert not uw[output][:, 6:].any()
            np.testing.assert_array_equal(w[output][:, 6:], x["mask"][:, 6:])
    assert labelled[0][0]["mask"][:, 6:].any()


def test_tasks_scores_and_weights_change_nothing_else():
    plain, rich = (
        take(RequestBatches(requests, batch_size=4, negatives=3)(), 6)
        for requests in (make(), dataclasses.replace(make_rich(), weights=None))
    )
    for (x, *targets), (rich_x, *rich_targets) in zip(plain, rich):
        assert set(rich_x) - set(x) == {"big", "trees"}
        assert_equal(x, {name: rich_x[name] for name in x})
        assert_equal(targets, rich_targets)


@pytest.mark.parametrize("start", [1, 5])
def test_batches_with_everything_resume_at_any_step(start):
    batches = RequestBatches(
        make_rich(), batch_size=4, negatives=5, outputs=OUTPUTS, label_negatives=False
    )
    assert_equal(take(batches(start), 3), take(batches(0).skip(start), 3))


def test_refuses():
    with pytest.raises(ValueError, match="batch_size must be >= 1"):
        RequestBatches(make(), batch_size=0)
    with pytest.raises(ValueError, match="built for 3 items"):
        RequestBatches(make(), batch_size=1, known=Pairs([0], [0], num_items=3))
    requests = make()
    requests.users["mask"] = requests.users["row"]
    with pytest.raises(ValueError, match=r"rename the features \['mask'\]"):
        RequestBatches(requests, batch_size=1)
    with pytest.raises(ValueError, match="start_step must be >= 0, got -1"):
        RequestBatches(make(), batch_size=1)(-1)
    message = r"'fine' learns task 'lik', but .* requests are \['like', 'share'\]"
    with pytest.raises(ValueError, match=message):
        RequestBatches(make_rich(), batch_size=1, outputs={"fine": "lik"})
    scored = make().with_scores({"log_q": make().labels})
    with pytest.raises(ValueError, match=r"rename the features \['log_q'\] \(or score"):
        RequestBatches(scored, batch_size=1)
