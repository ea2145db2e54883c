"""A small two-tower net taught by a teacher's ranking lists.

Run: `python benchmarks/recall.py citeulike --data-dir DIR`, a minute or two of
processor time a training.

CiteULike, 5 seeds, width 20; docs/recall.md has all rows and MovieLens-1M:

    recall: citeulike/alone, softmax/seed-0..4 ndcg@10 = 0.0750 ± 0.0007
    recall: citeulike/RRD, EASE + LightGCN/seed-0..4 ndcg@10 = 0.0975 ± 0.0011
    recall: citeulike/alone, softmax/seed-0..4 recall@50 = 0.2660 ± 0.0023
    recall: citeulike/RRD, EASE + LightGCN/seed-0..4 recall@50 = 0.3163 ± 0.0026

The teacher scores the whole catalogue once (`scored_top_k`), and its best unseen items
of each user are all that is kept:

    problem = Problem.from_interactions(clicks, user=..., item=..., time=..., dim=20)
    lists = Ease.tuned(problem.interactions).lists(500)
    nets = train(list_student(lists), problem, directory)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfdistill.data.recall_batches import RecallBatches
from tfdistill.data.samplers import rank_weights, with_perplexity
from tfdistill.data.states import TRAIN_END, Examples, States
from tfdistill.data.teacher_lists import RankedLists, TeacherLists
from tfdistill.losses import (
    BPR,
    ApproxNDCG,
    DistillationLoss,
    Exponential,
    Hint,
    ListSoftmaxKL,
    MinMax,
    PlackettLuce,
    RankingDistillation,
    RankLinear,
    RelevanceCrossEntropy,
    TopKSoftLabel,
)
from tfdistill.models import Net, TwoTower
from tfdistill.study.problem import Problem
from tfdistill.study.recipe import Recipe, Schedule, Terms
from tfdistill.trainers import Transfer

__all__ = [
    "BASES",
    "FORMS",
    "STUDENT",
    "Base",
    "Form",
    "alone",
    "ListSource",
    "list_student",
    "matrix_factorisation",
]

STUDENT = "recall"
"""Name of the student."""

_SIDES = ("query", "item")
_LOWEST = np.finfo(np.float32).min
_AT_THE_END = States()

PASSES = 10
"""How often a user comes in an epoch of these recipes, once for each cut at least."""


@dataclasses.dataclass(frozen=True)
class Base:
    """A loss on the users' own items, and the batches that suit it.

    Args:
        loss: The loss, on labels 1 and 0.
        batch_size: Users in a batch.
        shared: Drawn items per user; every user is compared with those of all.
    """

    loss: DistillationLoss
    batch_size: int = 256
    shared: int = 4


BASES: Mapping[str, Base] = {
    "softmax": Base(RelevanceCrossEntropy(MinMax(top=1.0))),
    "bpr": Base(BPR(), batch_size=64, shared=1),  # its time grows with pairs of items
}
"""A softmax of each user's items against the drawn ones, and BPR."""


@dataclasses.dataclass(frozen=True)
class Form:
    """A way of learning from a teacher's list.

    Args:
        losses: The losses on the list and the drawn items, one as a rule.
        weight: The weight of each beside the loss on the labels.
        interesting: K, how many items of the list come into a batch.
        decay: Draws them from the whole list by exp(-rank / decay); None takes the
            first K.
        perplexity: Gives the losses the teacher's scores, made this wide, instead of
            places; None for places.
        base: The loss on the labels.
    """

    losses: tuple[DistillationLoss, ...]
    weight: float = 4.0
    interesting: int = 100
    decay: float | None = None
    perplexity: float | None = None
    base: Base = BASES["softmax"]


def _by_rank(decay: float, topk: int) -> DistillationLoss:
    """Cross entropy against exp(-rank / decay)."""
    return RelevanceCrossEntropy(Exponential(decay=decay, top=1.0, topk=topk))


FORMS: Mapping[str, Form] = {
    # Point-wise: the list's items are positives, the drawn ones negatives.
    "point-wise": Form((TopKSoftLabel(topk=50),), interesting=50),
    "point-wise, by rank": Form(
        (RankingDistillation(num_items=2, topk=50, decay=20.0, discrepancy=0.0),),
        interesting=50,
    ),
    # Pair-wise: BPR over the ranks.
    "pair-wise": Form((BPR(),), interesting=30, decay=20.0, base=BASES["bpr"]),
    # List-wise.
    "RRD": Form((PlackettLuce(topk=50),), interesting=50, decay=20.0),
    "list KL": Form((ListSoftmaxKL(),), perplexity=20.0),
    "rank-weighted": Form((_by_rank(20.0, 100),)),
    "rank-weighted, two scales": Form(
        (_by_rank(7.0, 100), _by_rank(50.0, 200)), interesting=200
    ),
    "NDCG": Form((ApproxNDCG(RankLinear(topk=30), temperature=1.0),), interesting=30),
}
"""The forms that docs/recall.md compares; start with `"RRD"`."""


@dataclasses.dataclass(frozen=True, eq=False)
class ListSource:
    """Makes the batches of a problem's interactions: lists are drawn anew for each.

    Args:
        form: How a student learns from a list; None for one alone.
        lists: The teacher's best unseen items, by the cut of the log at which it was
            asked: at least the form's K of each user, and what the K are drawn from.
        vectors: A teacher's `[U, D]` and `[I, D]`, for hints; each side is scaled to a
            mean square length of 1.
        states: When users are asked, and what is theirs to find.

    Example:
        >>> from tfdistill.data import ImplicitFeedback
        >>> from tfdistill.pairs import Pairs
        >>> pairs = [Pairs([0, 1], items, 9) for items in ([0, 1], [1, 0], [2, 2])]
        >>> problem = Problem.from_feedback(ImplicitFeedback("mine", 2, *pairs))
        >>> form = Form((PlackettLuce(topk=2),), interesting=2, base=Base(BPR(), 2, 1))
        >>> lists = RankedLists(np.array([[3, 4], [5, 6]]), np.zeros([2, 2]))
        >>> recipe = list_student(lists, form)
        >>> x, _, _ = next(iter(recipe.source(problem, recipe, 0)()))
        >>> x["list_score"].numpy()[0, -4:-2]
        array([2., 1.], dtype=float32)
    """

    form: Form | None = None
    lists: Mapping[float, RankedLists] = dataclasses.field(default_factory=dict)
    vectors: tuple[np.ndarray, np.ndarray] | None = None
    states: States = _AT_THE_END

    def __call__(self, problem: Problem, recipe: Recipe, seed: int) -> RecallBatches:
        """Returns the batches of a recipe.

        Args:
            problem: With a log of its interactions.
            recipe: From `alone` or `list_student`.
            seed: Seed of the order and of the draws.
        """
        log, items = problem.interaction_log, problem.train.items
        made = self.states.examples(log, problem.train, also=tuple(self.lists))
        users = made.features
        if self.vectors is not None:
            of_users, of_items = map(_scaled, self.vectors)
            users = {**users, "query_vector": of_users[made.user]}
            items = {**items, "item_vector": of_items}
        return RecallBatches(
            users,
            items,
            made.liked,
            batch_size=recipe.schedule.batch_size,
            shared=recipe.schedule.negatives,
            passes=max(1, PASSES // len(self.states.cuts)),
            lists=self._drawn(made, log.num_items, seed),
            had=made.had,
            seed=seed,
        )

    def _drawn(self, made: Examples, num_items: int, seed: int) -> TeacherLists | None:
        """The lists as batches draw from them, those of each example's user and cut."""
        form = self.form
        if form is None or not self.lists:
            return None
        width = max(lists.items.shape[1] for lists in self.lists.values())
        items = np.full((len(made.user), width), -1, np.int32)
        scores = np.full(items.shape, _LOWEST, np.float32)
        for cut, lists in self.lists.items():
            rows = np.flatnonzero(made.clock == cut)
            rows = rows[made.user[rows] < len(lists.items)]
            columns = slice(lists.items.shape[1])
            items[rows, columns] = lists.items[made.user[rows]]
            scores[rows, columns] = np.maximum(lists.scores[made.user[rows]], _LOWEST)
        return TeacherLists(
            items,
            num_items,
            interesting=form.interesting,
            weights=form.decay and rank_weights(width, decay=form.decay),
            scores=form.perplexity and with_perplexity(scores, form.perplexity),
            seed=seed,
        )


def _scaled(vectors: np.ndarray) -> np.ndarray:
    """Vectors of a mean square length of 1."""
    scale = np.sqrt(np.mean(np.sum(vectors**2, axis=1)))
    return (vectors / scale).astype(np.float32)


def matrix_factorisation() -> Net:
    """Returns a net whose only features are the ids of users and items.

    Example:
        >>> matrix_factorisation().features
        ('user_id', 'item_id')
    """
    towers = TwoTower(units=(), dim=None)
    return Net(towers, ("user_id", "item_id"), task="recall")


def alone(
    net: Net, base: Base = BASES["softmax"], *, states: States = _AT_THE_END
) -> Recipe:
    """Returns the recipe of a student without a teacher: the baseline.

    Args:
        net: A net for recall, of `TwoTower` or `SequenceTower`.
        base: The loss on the labels.
        states: When users are asked, and what is theirs to find.

    Example:
        >>> [t.name for t in alone(matrix_factorisation()).terms.transfers]
        ['labels']
    """
    net.require("recall", "recall_from_lists")
    towers: Any = net.architecture
    drawing = dataclasses.replace(towers, shared=base.shared)  # as the batches do
    return Recipe(
        {STUDENT: dataclasses.replace(net, architecture=drawing)},
        terms=Terms(
            transfers=(
                Transfer(
                    "labels", None, STUDENT, base.loss, labels=STUDENT, weights=STUDENT
                ),
            )
        ),
        schedule=Schedule(
            epochs=15,
            batch_size=base.batch_size,
            negatives=base.shared,
            learning_rate=1e-1,
            annealed=True,
            rows_l2=3e-4,
        ),
        source=ListSource(states=states),
    )


def list_student(
    lists: RankedLists | Mapping[float, RankedLists],
    form: Form | str = "RRD",
    *,
    net: Net | None = None,
    states: States = _AT_THE_END,
    vectors: tuple[np.ndarray, np.ndarray] | None = None,
    hint: float = 1.0,
) -> Recipe:
    """Returns the recipe of a recall student that is taught by a teacher's lists.

    `L = L_labels + weight * sum of L_form(list and drawn items)`, and with `vectors`
    `+ hint * (1/2 ||W_u q_s - q_t||^2 + 1/2 ||W_i v_s - v_t||^2)`: lists teach what
    comes first, vectors how users and items lie to each other. The projections `W` are
    not served.

    Args:
        lists: The teacher's, such as `Ease.tuned(problem.interactions).lists(500)`,
            asked at the end of training; or for each of several cuts of the log those
            of the teacher when it was asked there.
        form: How it learns from a list, or its name in `FORMS`.
        net: A net for recall, of `TwoTower` or `SequenceTower`; by default one
            that knows nothing but ids.
        states: When users are asked, and what is theirs to find: `States.rolling()` for
            a net that knows a user by a history.
        vectors: Of a two-tower teacher, `[U, D]` and `[I, D]`.
        hint: Weight of each side's hint.

    Returns:
        What `train(recipe, problem, directory)` takes, for a problem with a log;
        `training="independent"` trains the same student from labels alone.

    Example:
        >>> lists = RankedLists(np.array([[3, 4]]), np.array([[2.0, 1.0]]))
        >>> recipe = list_student(lists, vectors=(np.ones([1, 8]), np.ones([5, 8])))
        >>> [transfer.name for transfer in recipe.terms.transfers]
        ['labels', 'lists_0', 'query_hint', 'item_hint']

    Reference:
        Kang et al., DE-RRD, CIKM 2020, arXiv:2012.04357, for lists; Romero et al.,
        FitNets, arXiv:1412.6550, for hints.
    """
    if isinstance(form, str):
        if form not in FORMS:
            raise ValueError(f"form must be one of {list(FORMS)}, got {form!r}.")
        form = FORMS[form]
    net = net or matrix_factorisation()
    plain = alone(net, form.base, states=states)
    if isinstance(lists, RankedLists):
        lists = {TRAIN_END: lists}
    taught = (
        Transfer(f"lists_{number}", "list_score", STUDENT, loss, form.weight)
        for number, loss in enumerate(form.losses)
    )
    hints = {f"{side}_vector": f"{STUDENT}_{side}" for side in _SIDES if vectors}
    hinted = (
        Transfer(f"{side}_hint", vector, f"{output}_hint", Hint(), hint)
        for side, (vector, output) in zip(_SIDES, hints.items())
    )
    widths = {name: part.shape[1] for name, part in zip(hints, vectors or ())}
    return plain.changed(
        transfers=(*plain.terms.transfers, *taught, *hinted),
        widths=widths,
        stored=("list_score", *hints),
        rows_l2=1e-4,  # a list leaves less for a student to memorise
        source=ListSource(form, lists, vectors, states),
    )
