"""Speed of the indexes for recall: exact, and inverted lists, beside numpy and TFRS.

Three catalogues: 1,000,000 random vectors of 32 numbers; the 40,981 item vectors of 64
numbers of a two-tower net trained on Gowalla; and 1,000,000 vectors drawn from a
mixture of Gaussians fitted to those. Queries are the net's vectors of users: the probes
are chosen on 1,000 of them, recall@100 is measured on 1,000 others. All searches take
turns in one process on one thread, and ask for one user and 100 items at a time.
Searches of a graph are timed within a loop of a graph, without the call and less an
empty loop: CPU time, its first quartile, as the machine may do other work as well.

    python benchmarks/retrieval.py exact|gowalla|mixture|table [--data-dir DIR]
        [--vectors FILE] [--rerun]

DIR holds the folder `gowalla`; FILE keeps the trained vectors. A run is one line of
benchmarks/results/retrieval_<part>.jsonl; --rerun measures another; `table` writes the
tables of docs/retrieval.md.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import extracts
import numpy as np
import store
import tensorflow as tf
import tensorflow_recommenders as tfrs
import timing
from pages import markdown
from timing import folder, in_turns, threads

from tfdistill.data import RequestBatches, Requests
from tfdistill.data.implicit import ImplicitFeedback
from tfdistill.export import ExactIndex, IvfIndex
from tfdistill.export.k_means import k_means, nearest
from tfdistill.metrics import dot_scores, retrieval_recall, top_k
from tfdistill.models import Net, TwoTower, joint_network
from tfdistill.optimizers import LazyAdam
from tfdistill.trainers import Distiller
from tfdistill.zoo.recall_from_logits import softmax_transfer

NAME = "retrieval"
K = 100
QUERIES = 1000
WANTED = (0.9, 0.95, 0.98, 0.985, 0.99, 0.995)
COMPONENTS = 256
EPOCHS = 6
TITLES = ("lists searched", "recall@100", "ms", "times as fast as exact", "as TFRS")

Search = Callable[[tf.Tensor], Any]


def train(data: ImplicitFeedback) -> dict[str, Any]:
    """Vectors of a two-tower net, and how good they are."""
    tf.keras.utils.set_random_seed(0)
    spec = data.spec(64)
    network = joint_network(
        spec, {"recall": Net(TwoTower((), 64), spec.names, task="recall")}
    )
    user, item = data.train.user, data.train.item
    requests = Requests(
        users={"user_id": user},
        items=data.items,
        candidates=item[:, np.newaxis].astype(np.int32),
        labels=np.ones([len(user), 1], np.float32),
        group=user,
    )
    batches = RequestBatches(requests, batch_size=1024, outputs=("recall",))
    distiller = Distiller(network.model, (softmax_transfer("recall"),))
    distiller.compile(LazyAdam(5e-3, rows_l2=5e-3))
    steps = batches.steps_per_epoch
    distiller.fit(batches(), epochs=EPOCHS, steps_per_epoch=steps, verbose=2)
    query = network.part("recall", output="recall_query", scope="user")
    items = network.part("recall", output="recall_item", scope="item")
    queries = query(data.users)["recall_query"].numpy()
    listed = {name: column[np.newaxis] for name, column in data.items.items()}
    vectors = items(listed)["recall_item"][0].numpy()
    return {"queries": queries, "vectors": vectors}


def trained(folder: pathlib.Path, kept: pathlib.Path | None) -> dict[str, Any]:
    """The vectors, trained or read, and how good they are on some users."""
    data = extracts.gowalla(folder / "gowalla")
    make = functools.partial(train, data)
    found = make() if kept is None else store.kept(kept, data.train.fingerprint, make)
    users = np.random.default_rng(0).choice(data.num_users, 4 * QUERIES, replace=False)
    users.sort()
    seen, relevant = (p.among(users) for p in (data.seen("test"), data.test))
    score = dot_scores(found["queries"][users], found["vectors"])
    top = top_k(score, len(users), 20, seen=seen)
    return {**found, "recall@20": retrieval_recall(top, relevant, 20).value}


def from_mixture(vectors: np.ndarray, size: int) -> np.ndarray:
    """Vectors drawn from Gaussians with the means and covariances of clusters."""
    rng = np.random.default_rng(0)
    owner = nearest(vectors, k_means(vectors, COMPONENTS))
    drawn = []
    for component, count in enumerate(
        rng.multinomial(size, np.bincount(owner, minlength=COMPONENTS) / len(owner))
    ):
        if count:
            members = vectors[owner == component]
            centred = members - members.mean(axis=0)
            # Sums of the members' differences from their mean have their covariance.
            mix = rng.normal(size=(count, len(members))) / len(members) ** 0.5
            drawn.append(members.mean(axis=0) + mix.astype(np.float32) @ centred)
    return rng.permutation(np.concatenate(drawn)).astype(np.float32)


def loop(search: Search, dim: int, count: int) -> Search:
    """A search for each of so many queries, one after the other in a graph."""

    def every(queries: tf.Tensor) -> tf.Tensor:
        def body(place: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            rows, scores = search(queries[place : place + 1])
            some = tf.cast(rows[0, 0], tf.float32) + scores[0, 0]
            return place + 1, total + some

        start = (tf.constant(0), tf.constant(0.0))
        return tf.while_loop(
            lambda place, _: place < count, body, start, parallel_iterations=1
        )[1]

    signature = tf.TensorSpec([count, dim])
    return tf.function(every, autograph=False).get_concrete_function(signature)


def empty(queries: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """No search: what the loop itself costs."""
    return tf.cast(queries[:, :1], tf.int32), queries[:, :1]


def by_exact(index: ExactIndex) -> Search:
    """Our exact index."""
    return lambda queries: index.search(queries, K)


def by_tfrs(vectors: np.ndarray) -> Search:
    """TFRS' BruteForce."""
    layer = tfrs.layers.factorized_top_k.BruteForce(k=K)
    layer.index(tf.constant(vectors))

    def search(queries: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        scores, rows = layer(queries)
        return rows, scores

    return search


def by_numpy(vectors: np.ndarray) -> Callable[[np.ndarray], None]:
    """A product and argpartition for each of some queries."""

    def search(queries: np.ndarray) -> None:
        for query in queries:
            scores = vectors @ query
            best = np.argpartition(scores, -K)[-K:]
            best[np.argsort(-scores[best])]

    return search


def timed(
    searches: Mapping[str, Search],
    queries: np.ndarray,
    *,
    count: int,
    rounds: int,
    numpy: np.ndarray | None = None,
) -> dict[str, float]:
    """Milliseconds a query, in turns."""
    dim = queries.shape[1]
    calls = {n: loop(s, dim, count) for n, s in {"": empty, **searches}.items()}
    if numpy is not None:
        calls["numpy"] = by_numpy(numpy)
    rng = np.random.default_rng(0)
    drawn = [queries[rng.choice(len(queries), count)] for _ in range(rounds + 1)]
    given = {"numpy": drawn} if numpy is not None else {}
    turns = {n: iter(given.get(n) or [*map(tf.constant, drawn)]) for n in calls}
    times = in_turns(
        {n: lambda n=n, call=call: call(next(turns[n])) for n, call in calls.items()},
        rounds,
    )
    quartile = {n: np.percentile(x["cpu"], 25) / count for n, x in times.items()}
    idle = quartile.pop("")
    return {n: x if n == "numpy" else x - idle for n, x in quartile.items()}


def curve(
    vectors: np.ndarray, queries: np.ndarray, *, count: int, rounds: int
) -> dict[str, Any]:
    """Recall and speed of inverted lists by the number of probes."""
    start = time.perf_counter()
    index = IvfIndex(vectors, queries=queries[:QUERIES])
    built = time.perf_counter() - start
    exact = ExactIndex(vectors)
    chosen, judged = (
        (part, exact_rows(exact, part))
        for part in (queries[:QUERIES], queries[QUERIES : 2 * QUERIES])
    )
    by_probes = index.recall_by_probes(*chosen)
    probes = {w: int(np.searchsorted(by_probes, w)) + 1 for w in WANTED}
    searches: dict[str, Search] = {
        f"ivf {wanted}": with_probes(index, p) for wanted, p in probes.items()
    }
    searches.update({"exact": by_exact(exact), "TFRS": by_tfrs(vectors)})
    spent = timed(searches, judged[0], count=count, rounds=rounds)
    points = {}
    for wanted, number in probes.items():
        found, milliseconds = searches[f"ivf {wanted}"], spent[f"ivf {wanted}"]
        rows = [found(tf.constant(q[np.newaxis]))[0][0].numpy() for q in judged[0]]
        hits = [np.isin(e, r).mean() for e, r in zip(judged[1], rows)]
        points[str(wanted)] = {
            "probes": number,
            "recall@100": float(np.mean(hits)),
            "ms": milliseconds,
            **{f"faster than {o}": spent[o] / milliseconds for o in ("exact", "TFRS")},
        }
    return {
        **{"items": len(vectors), "lists": index.lists, "seconds to build": built},
        **{f"{other} ms": spent[other] for other in ("exact", "TFRS")},
        "points": points,
    }


def with_probes(index: IvfIndex, probes: int) -> Search:
    """The search of an index with so many probes, set when it is traced."""

    def search(queries: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        index.probes = probes
        return index.search(queries, K)

    return search


def exact_rows(index: ExactIndex, queries: np.ndarray) -> np.ndarray:
    """Rows of the exact top-K, by blocks of queries."""
    blocks = np.array_split(queries, -(-len(queries) // 50))
    return np.concatenate([index.search(tf.constant(b), K)[0].numpy() for b in blocks])


def measure_exact() -> dict[str, Any]:
    """Exact search of 1,000,000 random vectors of 32 numbers."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(1_000_000, 32)).astype(np.float32)
    queries = rng.normal(size=(100, 32)).astype(np.float32)
    searches = {"exact": by_exact(ExactIndex(vectors)), "TFRS": by_tfrs(vectors)}
    return timed(searches, queries, count=4, rounds=16, numpy=vectors)


def measure_lists(
    part: str, folder: pathlib.Path, kept: pathlib.Path | None
) -> dict[str, Any]:
    """Inverted lists of the trained vectors, or of a million like them."""
    net = trained(folder, kept)
    queries = np.random.default_rng(0).permutation(net["queries"])[: 2 * QUERIES]
    vectors, count, rounds = net["vectors"], 64, 40
    if part == "mixture":
        vectors, count, rounds = from_mixture(vectors, 1_000_000), 8, 16
    found = curve(vectors, queries, count=count, rounds=rounds)
    return {"recall@20 of the trained vectors": net["recall@20"], **found}


def table(part: str) -> str:
    """The newest curve of a part in Markdown."""
    run = list(store.finished(f"{NAME}_{part}").values())[-1]
    rows = [
        [
            f"{point['probes']}",
            *(f"{point[what]:.3f}" for what in ("recall@100", "ms")),
            *(f"{point[f'faster than {other}']:.1f}" for other in ("exact", "TFRS")),
        ]
        for point in run["points"].values()
    ]
    return (
        f"{run['items']:,} items, {run['lists']:,} lists. Exact: {run['exact ms']:.3f} "
        f"ms a user, TFRS' BruteForce {run['TFRS ms']:.3f} ms (run `{run['run']}`)."
        f"\n\n{markdown(TITLES, rows)}"
    )


def measure(options: argparse.Namespace) -> dict[str, Any]:
    threads(1)
    if options.part == "exact":
        return measure_exact()
    return measure_lists(options.part, options.data_dir, options.vectors)


if __name__ == "__main__":
    timing.main(
        NAME,
        measure,
        parts=("exact", "gowalla", "mixture"),
        arguments={"--data-dir": folder("data"), "--vectors": folder()},
        table=table,
        page="retrieval.md",
    )
