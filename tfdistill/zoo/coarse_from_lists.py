"""A coarse ranker taught by a fine ranker on the lists that recall hands it.

Run: `python benchmarks/coarse.py simulator`, 54 trainings in 45 minutes.

The simulator, 3 seeds: 50 of 200 recalled items are passed on; how many of the
teacher's best ten are among them. docs/two_stage.md has all rows:

    coarse: simulator/alone/seed-0..2 teacher's best kept = 0.676 ± 0.007
    coarse: simulator/two-stage, point/seed-0..2 teacher's best kept = 0.931 ± 0.014
    coarse: simulator/two-stage, pair/seed-0..2 teacher's best kept = 0.990 ± 0.007
    coarse: simulator/two-stage, list/seed-0..2 teacher's best kept = 0.996 ± 0.000

What a coarse ranker sees in service are recall's candidates, which hardly anybody has
labelled. So the teacher scores them once, beside the labelled lists:

    lists = with_recalled(requests, recalled, width=50)
    logits = Ranker(teacher, lists)(np.arange(lists.num_requests), lists.candidates)
    student = recipe(coarse_net)
    train(student, spec, lists.with_scores({"taught": logits}), evaluator, directory,
          teacher=LoggedTeacher({"score": "taught"}))
"""

from __future__ import annotations

import numpy as np

from tfdistill.data.requests import Requests
from tfdistill.losses import DistillationLoss, ListSoftmaxKL
from tfdistill.models import Net
from tfdistill.study.recipe import Recipe
from tfdistill.zoo.ranking_pair import pair_transfer, rankers

__all__ = ["recipe", "with_recalled"]


def recipe(
    net: Net,
    loss: DistillationLoss | None = None,
    *,
    weight: float = 1.0,
    hard: float = 0.5,
) -> Recipe:
    """Returns the recipe of a ranker `coarse` under a teacher's signal `"score"`.

    `L = hard * L_labels + weight * loss(teacher's logits, logits)` over each list.
    `recipe(net).only("coarse")` is the baseline without the teacher.

    Args:
        net: The coarse ranker, such as `CoarseTwoTower`, of features that exist when it
            serves.
        loss: How a list is compared. The list-wise `ListSoftmaxKL()` is the default;
            `SigmoidSoftLabel()` is the point-wise and `RankNet()` the pair-wise form,
            and `PlackettLuce(topk=10)` teaches the order of the teacher's best ten.
        weight: Weight of the transfer.
        hard: Weight of the labels; the recalled lists have none.

    Example:
        >>> from tfdistill.models import CoarseTwoTower
        >>> student = recipe(Net(CoarseTwoTower((32,), dim=16), ("age", "item_id")))
        >>> [transfer.name for transfer in student.terms.transfers]
        ['coarse_list']
    """
    loss = loss or ListSoftmaxKL()
    listed = pair_transfer("coarse_list", "score", "coarse", loss, weight=weight)
    return rankers({"coarse": net}).changed(
        transfers=(listed,), loss_weights={"coarse": hard}
    )


def with_recalled(
    requests: Requests, recalled: np.ndarray, *, width: int, seed: int = 0
) -> Requests:
    """Returns the requests and, as further ones without labels, what recall found.

    A user's recalled items come in a random order, in lists of `width`, with the
    features of the user's first request.

    Args:
        requests: The labelled requests, with lists of at most `width`.
        recalled: int `[G, N]`, the candidates of each user (by `group`), -1 where there
            are fewer; `metrics.top_k` of a recall model. N is a multiple of `width`.
        width: How long the lists are.
        seed: Seed of the order.

    Raises:
        ValueError: If a width or a user does not fit, or the requests have scores,
            weights, tasks, or pair features without a source, which the new lists
            would lack.

    Example:
        >>> shown = Requests(
        ...     {"age": np.array([31])}, {"item_id": np.arange(9)},
        ...     np.array([[0, 2]], np.int32), np.array([[1, 0]], np.float32),
        ...     np.array([0]))
        >>> both = with_recalled(shown, np.array([[5, 7, 8, 3]]), width=4)
        >>> both.candidates.shape, np.sort(both.candidates[1]).tolist()
        ((2, 4), [3, 5, 7, 8])
    """
    _check(requests, recalled, width)
    users, first = np.unique(requests.group, return_index=True)
    rng = np.random.default_rng(seed)
    lists = rng.permuted(recalled[users], axis=1).reshape(-1, width)
    row = np.repeat(first, recalled.shape[1] // width)
    every = np.concatenate([np.arange(requests.num_requests), row])
    padding = ((0, 0), (0, width - requests.list_size))
    labels = np.pad(requests.labels, padding, constant_values=np.nan)
    shown = np.pad(requests.candidates, padding, constant_values=-1)
    return Requests(
        {k: v[every] for k, v in requests.users.items()},
        requests.items,
        np.concatenate([shown, lists]).astype(np.int32),
        np.concatenate([labels, np.full(lists.shape, np.nan, np.float32)]),
        requests.group[every],
        pair_sources=requests.select(every).pair_sources,
    )


def _check(requests: Requests, recalled: np.ndarray, width: int) -> None:
    if recalled.ndim != 2 or recalled.shape[1] % width or width < requests.list_size:
        raise ValueError(
            f"with_recalled: recalled must be [users, N] with N a multiple of width, "
            f"and width at least the lists' {requests.list_size}, got "
            f"{recalled.shape} and width={width}."
        )
    if requests.group.max() >= len(recalled):
        raise ValueError(
            f"with_recalled: recalled has {len(recalled)} rows, but there is a user "
            f"(group) {requests.group.max()}; give a row per user."
        )
    requests.require_sources("with_recalled", requests.listed_pairs)
    if requests.scores or requests.tasks or requests.weights is not None:
        raise ValueError(
            "with_recalled: the recalled lists would lack the requests' scores "
            f"{sorted(requests.scores)}, tasks {sorted(requests.tasks)} or weights; "
            "add scores afterwards, with `with_scores`."
        )
