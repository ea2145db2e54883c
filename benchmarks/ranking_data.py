"""The ranking problems of the benchmarks, made of data sets on disk.

Each is a random split of (user, item) pairs with a fixed seed, cut into requests of one
user with at most `LIST_SIZE` candidates. The pairs have no dependable time, so nothing
here is a forecast; training seeds vary, the split does not.
"""

from __future__ import annotations

import dataclasses
import pathlib

import extracts
import numpy as np
import pandas as pd

from tfdistill.data import RequestParts, Requests, Split, split_requests, windows
from tfdistill.datasets import (
    load_frappe,
    movielens_requests,
    movielens_spec,
    simulate,
)
from tfdistill.datasets.frappe import FRAPPE_CONTEXT
from tfdistill.datasets.synthetic_settings import MAIN
from tfdistill.pairs import Pairs
from tfdistill.spec import Feature, FeatureSpec, Table

LIST_SIZE = 20
HISTORY = 20
KNOWN_RATE = "click_probability"


@dataclasses.dataclass(frozen=True, eq=False)
class RankingProblem:
    """What a ranker learns from and is judged on.

    Args:
        name: Name of the data set.
        spec: All features; a teacher reads them.
        train: The training part; the three parts share the catalogue.
        valid: The part to choose by.
        test: The part to report.
        student_features: What a student that sees less reads, without the user's id;
            all features where the problem has no such variant.
    """

    name: str
    spec: FeatureSpec
    train: Requests
    valid: Requests
    test: Requests
    student_features: tuple[str, ...]

    @property
    def known(self) -> Pairs:
        """All training pairs: an unlabelled candidate to score is none of them."""
        return self.train.shown()


def movielens_1m(
    data_dir: pathlib.Path, *, seed: int = 0, users: int = 2000, dim: int = 16
) -> RankingProblem:
    """All rated pairs of some users of MovieLens-1M; label = rating >= 4; 80/10/10.

    The history of a request are up to 20 items that the user liked, drawn from the
    user's training requests, for a training request from the other ones.
    """
    data = extracts.movielens_1m(data_dir)
    rng = np.random.default_rng(seed)
    chosen = rng.choice(data.users["user_id"], users, replace=False)
    pairs = data.ratings[data.ratings["user_id"].isin(chosen)]
    parts = movielens_requests(
        data, random_split(pairs, rng), list_size=LIST_SIZE, history=HISTORY
    )
    spec = movielens_spec(parts, dim=dim)
    return RankingProblem(
        data.name,
        spec,
        *with_histories(parts, rng),
        student_features=tuple(name for name in spec.names if name != "user_id"),
    )


def kuairec(path: pathlib.Path, *, seed: int = 0, dim: int = 16) -> RankingProblem:
    """The exposures of KuaiRec; label = watched to the end; 80/10/10.

    The label is also the task `finished`. The task `satisfied` is a watch ratio of at
    least 2, 5 % of the exposures beside the label's 33 %: a short video is over before
    its user leaves it, but nobody watches one twice without liking it. Histories are
    made as in `movielens_1m`, of videos that were watched to the end.
    """
    exposures = extracts.kuairec(path).rename(columns={"watch_ratio": "rating"})
    rng = np.random.default_rng(seed)
    split = random_split(exposures, rng)
    ids = [{name: np.unique(exposures[name])} for name in ("user_id", "item_id")]
    finished, satisfied = (
        windows(split, *ids, list_size=LIST_SIZE, history=HISTORY, positive_from=ratio)
        for ratio in (1.0, 2.0)
    )
    parts = [
        dataclasses.replace(
            part, tasks={"finished": part.labels, "satisfied": twice.labels}
        )
        for part, twice in zip(with_histories(finished, rng), parts_of(satisfied))
    ]
    spec = ids_spec(parts[0], dim)
    return RankingProblem("KuaiRec", spec, *parts, student_features=spec.names)


def frappe(path: pathlib.Path, *, seed: int = 0, dim: int = 16) -> RankingProblem:
    """The logs of Frappe, each with two drawn apps as negatives; 70/20/10.

    The protocol of the published tables: a negative is an app that the user used in no
    log of the same context. AUC and GAUC only, as the share of positives is made.
    `cost` is the app's own (`load_frappe`): a model that learns the apps' costs knows
    one drawn app in eight for a negative, here as in the published tables.
    """
    logs = load_frappe(path)
    users = {"user_id": logs["user_id"].to_numpy()}
    users |= {name: logs[name].to_numpy(str) for name in FRAPPE_CONTEXT}
    item_ids, item = np.unique(logs["item_id"], return_inverse=True)
    moment = logs.groupby(list(users)).ngroup().to_numpy()[:, np.newaxis]
    used = Pairs(moment[:, 0], item, len(item_ids))
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(item_ids), size=(len(logs), 2))
    while (clash := used.contains(moment, drawn)).any():
        drawn[clash] = rng.integers(len(item_ids), size=clash.sum())
    requests = Requests(
        users,
        {"item_id": item_ids},
        candidates=np.column_stack([item, drawn]).astype(np.int32),
        labels=np.tile(np.float32([1, 0, 0]), (len(logs), 1)),
        group=np.unique(logs["user_id"], return_inverse=True)[1],
    )
    parts = split_requests(requests, (0.7, 0.2, 0.1), seed=seed)
    spec = ids_spec(parts[0], dim)
    return RankingProblem("Frappe", spec, *parts, student_features=spec.names)


def load(key: str, data_dir: pathlib.Path, dim: int = 12) -> RankingProblem:
    """Reads or simulates the data of a problem."""
    if key == "movielens-1m":
        return movielens_1m(data_dir / "ml-1m", dim=dim)
    if key == "kuairec":
        return kuairec(data_dir / "kuairec" / "exposures.csv.gz", dim=dim)
    if key == "frappe":
        archive = data_dir / "frappe" / "Mobile_Frappe.zip"
        return frappe(archive, dim=dim)
    simulation = simulate(MAIN)
    listed = simulation.requests
    rates = simulation.oracle.click_probability(
        listed.group[:, np.newaxis], listed.candidates
    )
    rates = np.where(listed.candidates >= 0, rates, np.nan)
    listed = listed.with_scores({KNOWN_RATE: rates})
    parts = split_requests(listed, (0.8, 0.1, 0.1))
    served = simulation.spec.non_privileged().names
    return RankingProblem("Simulator", simulation.spec, *parts, served)


def narrowed(spec: FeatureSpec, dim: int) -> FeatureSpec:
    """The same features with tables of another width."""
    tables = tuple(dataclasses.replace(table, dim=dim) for table in spec.tables)
    return FeatureSpec(spec.features, tables)


def random_split(pairs: pd.DataFrame, rng: np.random.Generator) -> Split:
    """Splits pairs 80/10/10 at random, and gives each part a random order in time."""
    mixed = pairs.iloc[rng.permutation(len(pairs))]
    mixed = mixed.assign(timestamp=np.arange(len(mixed)))
    borders = np.rint([0.8 * len(mixed), 0.9 * len(mixed)]).astype(int)
    return Split(
        "random",
        "Pairs were assigned at random: a model knows other pairs of the same user.",
        *(mixed.iloc[rows] for rows in np.split(np.arange(len(mixed)), borders)),
    )


def with_histories(parts: RequestParts, rng: np.random.Generator) -> list[Requests]:
    """Replaces the histories by random items that the user liked in other requests.

    All histories of a user have one length: what the training request with the most
    positives leaves, at most `HISTORY`. Otherwise the length of a history would tell
    how many positives are in the list.
    """
    train = parts.train
    item_ids = train.items["item_id"]
    request, place = np.nonzero(train.labels > 0)  # by request
    liked = pd.DataFrame(
        {
            "request": request,
            "user": train.group[request],
            "item": item_ids[train.candidates[request, place]],
        }
    )
    most = liked.groupby(["user", "request"]).size().groupby("user").max()
    length = (liked.groupby("user").size() - most).clip(upper=HISTORY)
    pools = {user: pool for user, pool in liked.groupby("user")}
    made = []
    for requests in parts_of(parts):
        history = np.full((requests.num_requests, HISTORY), -1, np.int64)
        for row, user in enumerate(requests.group):
            if user not in pools:
                continue
            pool = pools[user]
            items = pool["item"].to_numpy()
            if requests is train:
                items = items[pool["request"].to_numpy() != row]
            history[row, : length[user]] = rng.choice(
                items, length[user], replace=False
            )
        users = {**requests.users, "history": history}
        made.append(dataclasses.replace(requests, users=users))
    return made


def parts_of(parts: RequestParts) -> tuple[Requests, Requests, Requests]:
    """The requests of train, valid and test."""
    return parts.train, parts.valid, parts.test


def ids_spec(train: Requests, dim: int) -> FeatureSpec:
    """Describes features that are all categorical, by the values that are there."""
    features, tables = [], []
    for scope, columns in (("user", train.users), ("item", train.items)):
        for name, values in columns.items():
            table = "item_id" if name == "history" else name
            dtype = "string" if values.dtype.kind == "U" else "int64"
            features.append(
                Feature(name, "categorical", scope, table, values.shape[1:], dtype)
            )
            if table == name:
                known = tuple(np.unique(values).tolist())
                tables.append(Table(name, dim, kind="vocabulary", vocabulary=known))
    return FeatureSpec(tuple(features), tuple(tables))
