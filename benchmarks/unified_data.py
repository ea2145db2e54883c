"""The problems of `unified.py`."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import extracts
import numpy as np
import pandas as pd

from tfdistill.data import Requests, Split, split_requests, windows
from tfdistill.datasets import SimulatorConfig, simulate
from tfdistill.datasets.synthetic import Oracle
from tfdistill.metrics import dot_scores, head_items, regret, top_k
from tfdistill.models import CoarseTwoTower, DeepFm, Net, TwoTower
from tfdistill.pairs import Pairs
from tfdistill.spec import Feature, FeatureSpec, Table
from tfdistill.study import Problem, Recipe, movielens_problem
from tfdistill.study.evaluators import CatalogueEvaluator
from tfdistill.study.rounds import Candidates
from tfdistill.zoo.unified_cascade import Nets, default_nets, recipe

USERS = 2000  # of MovieLens-1M: all that have test ratings, and the first others
SIMULATOR = SimulatorConfig(users=4000, items=10_000)
LARGE = SimulatorConfig(users=20_000, items=50_000, requests_per_user=5)
JUDGED = {"test": 500, "valid": 500}  # users, drawn once; none is in both parts
JUDGED_LARGE = {"test": 1000, "valid": 500}
EXPLORED = 5000  # items that each user of LARGE's validation is shown at random
JUDGED_CITEULIKE = {"test": 2500, "valid": 1000}
RATES = (3e-3, 6e-3)
IDS, PRODUCT = ("user_id", "item_id"), TwoTower(units=(), dim=None)
CITEULIKE_NETS = {
    "teacher": Net(PRODUCT, ("user_wide", "item_wide"), task="recall"),
    "recall": Net(PRODUCT, IDS, task="recall"),
    "coarse": Net(CoarseTwoTower((), dim=16, interaction=8), IDS),
    "fine": Net(DeepFm((32, 16)), IDS),
}
DIM, WIDE = 32, 128  # of CiteULike's tables: the students' and the teacher's


@dataclasses.dataclass(frozen=True, eq=False)
class CascadeProblem(Problem):
    """What a cascade learns from and is judged on.

    Args:
        epochs: Passes over the requests.
        oracle: The true click probabilities, where they are known.
        own_nets: The teacher and the students, where they are not the zoo's.
        options: Of the recipe, where they are not the zoo's.
        settings: Further fields of the recipe, likewise.
        rates: The learning rates that each mode has as trials.
    """

    epochs: int = 8
    oracle: Oracle | None = None
    own_nets: Nets | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    rates: tuple[float, ...] = RATES

    def recipe(self, **options: Any) -> Recipe:
        """The unified cascade's recipe, with further options for the problem's."""
        made = recipe(self.nets, **{**self.options, **options})
        return made.changed(epochs=self.epochs, **self.settings)

    @property
    def nets(self) -> Nets:
        """The teacher and the students."""
        return self.own_nets or default_nets(self.spec)

    @property
    def chosen_by(self) -> str:
        """What settings are chosen by, on validation."""
        return "page/ndcg@10" if self.oracle is None else "page/true ndcg@10"

    def truths(self, part: str, sets: Mapping[str, np.ndarray]) -> dict[str, float]:
        """How each page compares with the truly best items.

        Its relative regret, and its NDCG@10 with the true probabilities as gains, which
        is 1 less the relative regret of the discounted ones; `sets` is what each stage
        keeps for the users of the part.
        """
        if self.oracle is None:
            return {}
        evaluator = getattr(self, part)
        users = evaluator.requests.group[evaluator.first]
        score = dot_scores(self.oracle.user_vectors[users], self.oracle.item_vectors)
        best = top_k(score, len(users), 10)

        def value(rows: np.ndarray, items: np.ndarray) -> np.ndarray:
            return self.oracle.click_probability(users[rows][:, np.newaxis], items)

        def discounted(rows: np.ndarray, items: np.ndarray) -> np.ndarray:
            return value(rows, items) / np.log2(np.arange(items.shape[1]) + 2)

        pages = {"page": sets["fine"], "recall alone": sets["recall"]}
        pages.update({n: s for n, s in sets.items() if n.startswith("teacher")})
        found = {}
        for name, items in pages.items():
            page = items[:, :10]
            found[f"{name}/regret"] = regret(page, best, value).relative
            ndcg = 1 - regret(page, best, discounted).relative
            found[f"{name}/true ndcg@10"] = ndcg
        return found


def movielens_1m(data_dir: pathlib.Path) -> CascadeProblem:
    """2,000 users of MovieLens-1M over its whole catalogue of 3,883 films."""
    data = extracts.movielens_1m(data_dir / "ml-1m")
    tested = data.users["user_id"].isin(data.ratings["user_id"][data.test])
    users = pd.concat([data.users[tested], data.users[~tested]])[:USERS]
    users = users.sort_values("user_id", ignore_index=True)
    kept = data.ratings["user_id"].isin(users["user_id"]).to_numpy()
    few = dataclasses.replace(
        data,
        users=users,
        ratings=data.ratings[kept].reset_index(drop=True),
        test=data.test[kept],
    )
    made = movielens_problem(few)
    return CascadeProblem(made.spec, made.train, made.valid, made.test, made.known)


def citeulike(data_dir: pathlib.Path) -> CascadeProblem:
    """CiteULike: ids alone, every pair is a positive; a pair of each user is judged.

    Two towers are the teacher, with wide tables of their own: a DCN-v2 and a
    factorisation machine learned next to nothing there. Rankers read recall's tables
    behind a gradient block, where they can.
    """
    data = extracts.citeulike(data_dir / "citeulike")
    frames = [
        pd.DataFrame(
            {"user_id": pairs.user, "item_id": pairs.item, "rating": 5.0}
        ).assign(timestamp=lambda frame: np.arange(len(frame)))
        for pairs in (data.train, data.valid, data.test)
    ]
    split = Split("leave one out", "The split of DE-RRD.", *frames)
    parts = windows(split, data.users, data.items, negatives=100)
    head = head_items(data.popularity)
    evaluators = {
        part: CatalogueEvaluator(with_wide(requests), parts.before(part), head)
        for part, requests in some_users(parts.test, parts.valid, JUDGED_CITEULIKE)
    }
    return CascadeProblem(
        spec_with_wide(data.spec(DIM)),
        with_wide(parts.train),
        evaluators["valid"],
        evaluators["test"],
        parts.known,
        epochs=20,
        own_nets=CITEULIKE_NETS,
        options={
            "every_positive": True,
            "warm_up": 0,
            "blocked": ("coarse", "fine"),
            "candidates": Candidates(per_list=10, epochs=5),
        },
        settings={
            "batch_size": 256,
            "negatives": 10,
            "annealed": True,
            "rows_l2": 3e-4,
        },
        rates=(6e-2, 1e-1),
    )


def spec_with_wide(ids: FeatureSpec) -> FeatureSpec:
    """The ids once more, in wide tables that only the teacher reads."""
    sides = ("user", "item")
    wide = (
        Feature(f"{s}_wide", "categorical", s, f"{s}_wide", privileged=True)
        for s in sides
    )
    sizes = {side: ids.table_of(ids[f"{side}_id"]).size for side in sides}
    tables = (Table(f"{side}_wide", WIDE, size=size) for side, size in sizes.items())
    return FeatureSpec((*ids.features, *wide), (*ids.tables, *tables))


def with_wide(requests: Requests) -> Requests:
    """The ids once more, for the teacher's tables."""
    return dataclasses.replace(
        requests,
        users={**requests.users, "user_wide": requests.users["user_id"]},
        items={**requests.items, "item_wide": requests.items["item_id"]},
    )


def simulator(data_dir: pathlib.Path | None) -> CascadeProblem:
    """4,000 users and 10,000 items."""
    return simulated(SIMULATOR, JUDGED, epochs=8)


def large_simulator(data_dir: pathlib.Path | None) -> CascadeProblem:
    """20,000 users and 50,000 items, with half the requests of each user."""
    return simulated(LARGE, JUDGED_LARGE, epochs=4, explored=EXPLORED)


def simulated(
    config: SimulatorConfig, judged: Mapping[str, int], epochs: int, explored: int = 0
) -> CascadeProblem:
    """The teacher sees the users' tastes and the items' qualities, with some noise.

    Args:
        config: The simulator's settings.
        judged: How many users each part has.
        epochs: Passes over the requests.
        explored: How many items each user of the validation part is shown at random;
            recall's epoch is chosen by the clicks on them. At 0 by the logged clicks.
    """
    simulation = simulate(config)
    train, valid, test = split_requests(simulation.requests, (0.8, 0.1, 0.1))
    size = train.num_items
    shown = train.candidates[train.candidates >= 0]
    head = head_items(np.bincount(shown, minlength=size))
    nothing = Pairs([], [], size)
    parts = dict(some_users(test, valid, judged))
    random = clicked(simulation.oracle, parts["valid"], explored) if explored else None
    return CascadeProblem(
        simulation.spec,
        train,
        CatalogueEvaluator(parts["valid"], nothing, head, relevant=random),
        CatalogueEvaluator(parts["test"], nothing, head),
        train.positives(),
        epochs=epochs,
        oracle=simulation.oracle,
    )


def clicked(oracle: Oracle, requests: Requests, shown: int) -> Pairs:
    """What the requests' users click of so many items that are drawn for each."""
    rng, users = np.random.default_rng(0), np.unique(requests.group)
    items = rng.integers(0, requests.num_items, (len(users), shown))
    click = oracle.click_probability(users[:, np.newaxis], items)
    row, place = np.nonzero(rng.random(items.shape) < click)
    return Pairs(users[row], items[row, place], requests.num_items)


def some_users(
    test: Requests, valid: Requests, number: Mapping[str, int]
) -> list[tuple[str, Requests]]:
    """The requests of some users of each part, other ones in each."""
    found, taken = [], np.zeros(0, int)
    for part, requests in (("test", test), ("valid", valid)):
        users = np.random.default_rng(0).permutation(np.unique(requests.group))
        users = users[~np.isin(users, taken)][: number[part]]
        taken = np.concatenate([taken, users])
        rows = np.nonzero(np.isin(requests.group, users))[0]
        found.append((part, requests.select(rows)))
    return found


PROBLEMS: Mapping[str, Callable[[pathlib.Path], CascadeProblem]] = {
    "movielens-1m": movielens_1m,
    "citeulike": citeulike,
    "simulator-4k": simulator,
    "simulator-20k": large_simulator,
}
TUNED = dict.fromkeys(["simulator-4k", "simulator-20k"], "movielens-1m")
"""Problems that take the settings of another."""
