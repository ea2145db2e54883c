"""Quality and cost of whole cascades over the sizes of their stages, as exported."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfdistill.data.requests import Requests
from tfdistill.export import (
    Latency,
    RankingStage,
    Servable,
    cascade_servable,
    latency,
    publish,
    recall_servable,
)
from tfdistill.jobs.exports import request_of
from tfdistill.metrics import FunnelPoint, RequestCost, retrieval_ndcg, sweep
from tfdistill.spec import FeatureSpec
from tfdistill.study.evaluators import CatalogueEvaluator
from tfdistill.study.trained import TrainedNet, TrainedRanker, TrainedRecall

__all__ = ["QUALITY", "Funnel", "swept"]

QUALITY = "ndcg@10"
"""What a page is judged by."""

_REQUESTS = 8  # measured in turns


@dataclasses.dataclass(frozen=True)
class Funnel:
    """A recall net and the rankers after it, and the sizes to try.

    Args:
        recall: The recall net.
        rankers: The rankers in order, by name; with none, recall makes the page.
        sizes: What recall and each ranker keep, the last one pages of at least 10
            items: `metrics.size_grid`.

    Example:
        >>> from tfdistill.metrics import size_grid
        >>> from tfdistill.spec import Feature
        >>> spec = FeatureSpec((Feature("age", "numeric", "user"),))
        >>> recall = TrainedRecall({}, spec, {})
        >>> Funnel(recall, {}, size_grid([10, 50])).sizes
        [(10,), (50,)]
    """

    recall: TrainedRecall
    rankers: Mapping[str, TrainedRanker]
    sizes: Sequence[tuple[int, ...]]

    @property
    def widest(self) -> list[int]:
        """The most that each stage keeps."""
        return [max(kept) for kept in zip(*self.sizes)]

    @property
    def signature(self) -> str:
        """The signature that takes sizes with the request."""
        return "cascade_dynamic" if self.rankers else "top_k_dynamic"

    def inputs(self, kept: tuple[int, ...]) -> dict[str, int]:
        """The sizes as that signature names them."""
        if not self.rankers:
            return {"k": kept[0]}
        stages = ("recall", *self.rankers)
        return {f"keep_{stage}": keep for stage, keep in zip(stages, kept)}

    def mflops(self, catalogue: int) -> dict[tuple[int, ...], float]:
        """Operations of one request, in millions, at each of the sizes."""
        nets: list[TrainedNet] = [self.recall, *self.rankers.values()]

        @functools.cache
        def counted(place: int, gets: int) -> float:
            return nets[place].mflops(catalogue, gets)

        return {
            kept: sum(counted(place, n) for place, n in enumerate((0, *kept[:-1])))
            for kept in self.sizes
        }


def swept(
    funnels: Mapping[str, Funnel],
    evaluator: CatalogueEvaluator,
    spec: FeatureSpec,
    out: Path,
    *,
    quality: Callable[[np.ndarray], float] | None = None,
    rounds: int = 100,
) -> dict[str, list[FunnelPoint]]:
    """Judges and serves every funnel at all its sizes, the teacher's among them.

    Each funnel is exported once and takes its sizes with the request. All latencies are
    of one fresh process with one thread, where the funnels and sizes take turns.

    Args:
        funnels: By name; a funnel of a teacher alone is what students are held against.
        evaluator: The evaluator of the part.
        spec: The features.
        out: Folder for the exports.
        quality: Of the judged users' pages `[U, page]`; `QUALITY` by default.
        rounds: How often each of a few requests is sent.

    Returns:
        The points of each funnel: quality of the page, exact FLOPs, median latency.
    """
    requests = evaluator.requests

    def ndcg(page: np.ndarray) -> float:
        return retrieval_ndcg(page, evaluator.relevant, 10).value

    measured = _latencies(funnels, requests, spec, out, rounds)
    curves = {}
    for name, funnel in funnels.items():
        scorers = {
            stage: evaluator.for_users(net.ranker(requests))
            for stage, net in funnel.rankers.items()
        }
        costs = {
            kept: RequestCost(mflops, measured[_label(name, kept)].p50)
            for kept, mflops in funnel.mflops(requests.num_items).items()
        }
        curves[name] = sweep(
            funnel.recall.top(evaluator, funnel.widest[0]),
            scorers,
            funnel.sizes,
            quality=quality or ndcg,
            cost=costs.__getitem__,
        )
    return curves


def _latencies(
    funnels: Mapping[str, Funnel],
    requests: Requests,
    spec: FeatureSpec,
    out: Path,
    rounds: int,
) -> dict[str, Latency]:
    """The latency of every funnel at all its sizes."""
    servables: dict[str | Path, Servable] = {
        out / name.replace(" ", "-"): _servable(funnel, requests, spec)
        for name, funnel in funnels.items()
    }
    reports = dict(zip(funnels, publish(servables).values()))
    points = {
        _label(name, kept): (reports[name].path, funnel, kept)
        for name, funnel in funnels.items()
        for kept in funnel.sizes
    }
    nothing = {"exclude": requests.items["item_id"][np.newaxis, :0]}
    return latency(
        {label: path for label, (path, _, _) in points.items()},
        [{**request_of(requests, r, 1), **nothing} for r in range(_REQUESTS)],
        baseline=next(iter(points)),
        rounds=rounds,
        threads=1,
        signatures={label: f.signature for label, (_, f, _) in points.items()},
        inputs={label: f.inputs(kept) for label, (_, f, kept) in points.items()},
    )


def _servable(funnel: Funnel, requests: Requests, spec: FeatureSpec) -> Servable:
    """The funnel at its widest sizes; a teacher's too, to measure it."""
    first, *others = funnel.widest
    query, item = funnel.recall.models["query"], funnel.recall.models["item"]
    items, example = requests.items, request_of(requests, 0, 20)
    ids = items["item_id"]
    if not others:
        return recall_servable(query, item, spec, items, ids, k=first, example=example)
    stages = [
        RankingStage(name, net.model, keep)
        for (name, net), keep in zip(funnel.rankers.items(), others)
    ]
    return cascade_servable(
        query,
        item,
        stages,
        spec,
        items,
        ids,
        recall=first,
        allow_privileged=True,
        example=example,
    )


def _label(name: str, kept: Sequence[int]) -> str:
    return f"{name} {kept}"
