import dataclasses
import tracemalloc

import numpy as np
import pytest

from tfdistill import metrics
from tfdistill.datasets.synthetic import Oracle, simulate
from tfdistill.datasets.synthetic_settings import SimulatorConfig

CONFIG = SimulatorConfig(users=400, items=300)


@pytest.fixture(scope="module")
def simulation():
    return simulate(CONFIG)


def probabilities(simulation):
    requests = simulation.requests
    return simulation.oracle.click_probability(
        requests.group[:, np.newaxis], requests.candidates
    )


def test_the_seed_decides_everything(simulation):
    again = simulate(CONFIG).requests
    other = simulate(dataclasses.replace(CONFIG, seed=1)).requests
    for side in ("users", "items"):
        for name, values in getattr(simulation.requests, side).items():
            np.testing.assert_array_equal(getattr(again, side)[name], values)
    np.testing.assert_array_equal(again.candidates, simulation.requests.candidates)
    np.testing.assert_array_equal(again.labels, simulation.requests.labels)
    assert (other.candidates != again.candidates).mean() > 0.9
    assert (other.items["item_field_0"] != again.items["item_field_0"]).mean() > 0.8


def test_more_requests_leave_users_and_items_as_they_are(simulation):
    longer = simulate(dataclasses.replace(CONFIG, requests_per_user=12))
    np.testing.assert_array_equal(
        longer.oracle.item_vectors, simulation.oracle.item_vectors
    )
    np.testing.assert_array_equal(
        longer.requests.items["item_signal"], simulation.requests.items["item_signal"]
    )


def test_requests_have_every_feature_of_the_spec(simulation):
    spec, requests = simulation.spec, simulation.requests
    for feature in spec.features:
        side = requests.users if feature.scope == "user" else requests.items
        values = side[feature.name]
        assert values.shape[1:] == feature.shape
        assert values.dtype == feature.dtype
        if feature.kind == "categorical":
            assert values.min() >= (-1 if feature.shape else 0)
            assert values.max() < spec.table_of(feature).size
        else:
            standard = (values - feature.mean) / feature.scale
            np.testing.assert_allclose(standard.mean(0), 0, atol=0.25)
            np.testing.assert_allclose(standard.std(0), 1, atol=0.2)
    assert set(spec.names) == {*requests.users, *requests.items}
    hidden = [f.name for f in spec.features if f.privileged]
    assert hidden == ["user_signal", "item_signal"]
    assert requests.num_requests == 400 * CONFIG.requests_per_user


def test_labels_are_calibrated_to_the_known_probability(simulation):
    labels, p = simulation.requests.labels, probabilities(simulation)
    assert labels.mean() == pytest.approx(CONFIG.ctr, abs=0.005)
    assert p.mean() == pytest.approx(CONFIG.ctr, abs=0.001)
    groups = np.array_split(np.argsort(p, axis=None), 20)
    for places in groups:
        expected = p.ravel()[places]
        deviation = np.sqrt((expected * (1 - expected)).mean() / len(places))
        assert abs(labels.ravel()[places].mean() - expected.mean()) < 4 * deviation


@pytest.mark.parametrize("seed", range(5))
def test_the_oracle_ranks_well_but_not_perfectly(seed):
    simulation = simulate(dataclasses.replace(CONFIG, seed=seed))
    auc = metrics.auc(simulation.requests.labels, probabilities(simulation))
    assert 0.75 < auc < 0.85


def test_probability_is_the_sigmoid_of_the_product_of_vectors(simulation):
    oracle = simulation.oracle
    assert oracle.user_vectors.shape == (400, CONFIG.latent_dim + 2)
    logits = oracle.user_vectors.astype(float) @ oracle.item_vectors.T.astype(float)
    every = oracle.click_probability(np.arange(400)[:, np.newaxis], np.arange(300))
    np.testing.assert_allclose(every, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    extreme = Oracle(np.array([[1e4]], np.float32), np.array([[1], [-1]], np.float32))
    np.testing.assert_array_equal(extreme.click_probability(0, [0, 1]), [1, 0])


def test_best_items_of_the_catalogue_are_those_of_brute_force(simulation):
    oracle = simulation.oracle
    every = oracle.click_probability(np.arange(400)[:, np.newaxis], np.arange(300))
    score = metrics.dot_scores(oracle.user_vectors, oracle.item_vectors)
    best = metrics.top_k(score, 400, 10)
    found = np.take_along_axis(every, best, 1)
    np.testing.assert_allclose(found, -np.sort(-every, axis=1)[:, :10], rtol=1e-5)


def test_history_holds_the_latest_earlier_clicks(simulation):
    requests = simulation.requests
    rows = np.flatnonzero(requests.group == 7)
    assert len(rows) == CONFIG.requests_per_user
    clicked = []
    for row in rows:
        history = requests.users["history"][row]
        expected = (clicked + [-1] * CONFIG.history)[: CONFIG.history]
        assert history.tolist() == expected
        places = np.flatnonzero(requests.labels[row] == 1)
        clicked = requests.candidates[row, places].tolist() + clicked


def test_lists_hold_an_item_once_and_follow_taste_and_popularity(simulation):
    requests = simulation.requests
    for listed in requests.candidates[:200]:
        assert len(set(listed)) == CONFIG.list_size
    every = simulation.oracle.click_probability(
        np.arange(400)[:, np.newaxis], np.arange(300)
    )
    assert probabilities(simulation).mean() > 1.5 * every.mean()
    shown = np.sort(np.bincount(requests.candidates.ravel(), minlength=300))
    assert shown[-60:].sum() > 0.4 * shown.sum()


def test_a_small_catalogue_gives_padded_lists():
    config = SimulatorConfig(users=30, items=20, list_size=20)
    requests = simulate(config).requests
    padded = requests.candidates < 0
    assert padded.any()
    np.testing.assert_array_equal(np.isnan(requests.labels), padded)


def test_drift_changes_the_labels_of_the_teacher_alone(simulation):
    assert simulation.teacher_requests is simulation.requests
    drifted = simulate(dataclasses.replace(CONFIG, teacher_drift=1.0))
    now, former = drifted.requests, drifted.teacher_requests
    np.testing.assert_array_equal(now.labels, simulation.requests.labels)
    assert former.users is now.users
    assert former.candidates is now.candidates
    p = probabilities(drifted)
    assert metrics.auc(former.labels, p) < metrics.auc(now.labels, p) - 0.1
    slight = simulate(dataclasses.replace(CONFIG, teacher_drift=0.3))
    auc = metrics.auc(slight.teacher_requests.labels, p)
    assert metrics.auc(former.labels, p) + 0.05 < auc < metrics.auc(now.labels, p)


def test_memory_does_not_grow_with_users_times_items():
    config = SimulatorConfig(users=20_000, items=50_000, requests_per_user=1)
    tracemalloc.start()
    simulate(config)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6  # one byte per user and item would be 1e9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(users=0), "users must be at least 1, got 0"),
        (dict(observation_noise=-1.0), "observation_noise must be at least 0"),
        (dict(ctr=1.0), "ctr must lie between 0 and 1"),
        (dict(teacher_drift=1.5), "teacher_drift must be at most 1"),
        (dict(items=10), "a list of 20 needs as many items, got 10"),
    ],
)
def test_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        SimulatorConfig(**changes)
