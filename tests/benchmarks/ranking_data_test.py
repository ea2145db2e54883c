"""The benchmarks' problems, made of small data sets instead of those on disk."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tfdistill.datasets import MovieLens

FOLDER = Path(__file__).parents[2] / "benchmarks"
FRAPPE_LOGS = 400


@pytest.fixture
def ranking_data(monkeypatch):
    """The module, which is no part of the package; its loaders give small frames."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import ranking_data

    rng = np.random.default_rng(0)
    pairs = pd.DataFrame(
        [(user, item) for user in range(1, 31) for item in rng.permutation(90)[:50]],
        columns=["user_id", "item_id"],
    )
    # User 30 has one list of training pairs, so no other to draw a history from.
    pairs = pairs[(pairs.user_id < 30) | (pairs.item_id < 10)]
    films = MovieLens(
        "MovieLens-made-up",
        ratings=pairs.assign(rating=rng.integers(1, 6, len(pairs)), timestamp=0),
        users=pd.DataFrame(
            {"user_id": range(1, 31), "age": 25, "gender": "F", "occupation": "writer",
             "zip": "857"}
        ),
        items=pd.DataFrame(
            {"item_id": range(90), "year": 1990, "genres": [("Crime", "Drama")] * 90}
        ),
        source="Made up.",
    )  # fmt: skip
    watched = pairs.assign(watch_ratio=rng.gamma(1.0, 1.0, len(pairs)))
    logs = pd.DataFrame(
        {
            "user_id": rng.integers(0, 20, FRAPPE_LOGS),
            "item_id": rng.integers(0, 9, FRAPPE_LOGS),
            **dict.fromkeys(ranking_data.FRAPPE_CONTEXT, "same"),
        }
    )
    logs["daytime"] = rng.choice(["noon", "night"], FRAPPE_LOGS)
    # A user needs two apps that were never used, in each context.
    logs = logs[logs.item_id % 3 == logs.user_id % 3]
    monkeypatch.setattr(ranking_data.extracts, "movielens_1m", lambda _: films)
    monkeypatch.setattr(ranking_data.extracts, "kuairec", lambda _: watched)
    monkeypatch.setattr(ranking_data, "load_frappe", lambda _: logs)
    return ranking_data


def pairs_of(requests, labels=None):
    """(user, item id) -> label of every candidate."""
    labels = requests.labels if labels is None else labels
    row, place = np.nonzero(requests.candidates >= 0)
    item = requests.items["item_id"][requests.candidates[row, place]]
    keys = zip(requests.users["user_id"][row].tolist(), item.tolist())
    return dict(zip(keys, labels[row, place].tolist()))


def parts(problem):
    return problem.train, problem.valid, problem.test


@pytest.mark.parametrize("name", ["movielens_1m", "kuairec"])
def test_every_pair_is_in_one_part_with_its_label(ranking_data, name):
    if name == "movielens_1m":
        problem = ranking_data.movielens_1m("", users=30)
        frame = ranking_data.extracts.movielens_1m("").ratings
        truth = frame.rating >= 4
    else:
        problem = ranking_data.kuairec("")
        frame = ranking_data.extracts.kuairec("")
        truth = frame.watch_ratio >= 1
    found = [pairs_of(part) for part in parts(problem)]
    merged = {**found[0], **found[1], **found[2]}
    assert merged == dict(zip(zip(frame.user_id, frame.item_id), truth.astype(float)))
    sizes = [len(part) for part in found]
    assert sum(sizes) == len(frame)
    assert np.allclose(np.divide(sizes, len(frame)), (0.8, 0.1, 0.1), atol=0.01)
    assert problem.train.list_size <= 20
    assert len(problem.known) == sizes[0]


@pytest.mark.parametrize("name", ["movielens_1m", "kuairec"])
def test_histories_tell_nothing_about_their_own_list(ranking_data, name):
    arguments = {"users": 30} if name == "movielens_1m" else {}
    problem = getattr(ranking_data, name)("", **arguments)
    liked = {pair for pair, label in pairs_of(problem.train).items() if label}
    lengths = {}
    for part in parts(problem):
        for row, history in enumerate(part.users["history"]):
            user = int(part.users["user_id"][row])
            items = history[history >= 0].tolist()
            assert len(set(items)) == len(items)
            assert all((user, item) in liked for item in items)
            candidates = part.items["item_id"][part.candidates[row]]
            assert not set(items) & set(candidates[part.candidates[row] >= 0].tolist())
            lengths.setdefault(user, set()).add(len(items))
    assert all(len(length) == 1 for length in lengths.values())
    assert lengths[30] == {0}
    assert max(map(max, lengths.values())) >= 5


def test_the_poorer_student_of_movielens_sees_no_user_id(ranking_data):
    problem = ranking_data.movielens_1m("", users=10, dim=4)
    assert set(problem.spec.names) - set(problem.student_features) == {"user_id"}
    assert {table.dim for table in problem.spec.tables} == {4}
    users = {u for part in parts(problem) for u in part.users["user_id"].tolist()}
    assert len(users) == 10


def test_the_seed_decides(ranking_data):
    first, again, other = (
        ranking_data.kuairec("", seed=seed).train for seed in (0, 0, 1)
    )
    for name in ("candidates", "labels"):
        assert np.array_equal(
            getattr(first, name), getattr(again, name), equal_nan=True
        )
    assert np.array_equal(first.users["history"], again.users["history"])
    assert not np.array_equal(first.candidates[:9], other.candidates[:9])


def test_satisfied_is_a_task_of_kuairec(ranking_data):
    problem = ranking_data.kuairec("")
    frame = ranking_data.extracts.kuairec("")
    found = {}
    for part in parts(problem):
        found.update(pairs_of(part, part.tasks["satisfied"]))
    truth = (frame.watch_ratio >= 2).astype(float)
    assert found == dict(zip(zip(frame.user_id, frame.item_id), truth))


def test_a_log_of_frappe_has_two_apps_that_were_not_used(ranking_data):
    problem = ranking_data.frappe("")
    logs = ranking_data.load_frappe("")
    used = set(zip(logs.user_id, logs.daytime, logs.item_id))
    total = 0
    for part in parts(problem):
        total += part.num_requests
        assert part.labels.tolist() == [[1, 0, 0]] * part.num_requests
        for row, candidates in enumerate(part.candidates):
            moment = (part.users["user_id"][row], part.users["daytime"][row])
            items = part.items["item_id"][candidates]
            assert [(*moment, i) in used for i in items] == [True, False, False]
    assert total == len(logs)
    assert problem.spec["daytime"].dtype == "string"
    assert problem.student_features == problem.spec.names
