"""A cascade of stages: what each one keeps, loses, and shares with the teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tfdistill.metrics.checks import Mean, as_items, check_cut, mean_of
from tfdistill.metrics.retrieval import (
    best_places,
    hits,
    retrieval_ndcg,
    retrieval_recall,
)
from tfdistill.pairs import Pairs

CandidateScores = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Scores of given candidates: rows `[b]`, items int32 `[b, N]` (-1 pad) -> `[b, N]`."""


@dataclass(frozen=True)
class Reranker:
    """One stage after recall: how it scores candidates, and how many it keeps.

    Attributes:
        name: The stage's name, such as "coarse".
        score: User rows `[b]` and candidates `[b, N]` -> scores `[b, N]`.
        keep: How many candidates go on.

    Example:
        >>> Reranker("fine", lambda rows, items: -items.astype(float), keep=10).keep
        10
    """

    name: str
    score: CandidateScores
    keep: int


def rerank(
    candidates: np.ndarray, score: CandidateScores, keep: int, *, block: int = 256
) -> np.ndarray:
    """The best `keep` of each user's candidates, best first.

    Args:
        candidates: int32 `[U, N]` item rows, -1 where padded.
        score: User rows `[b]` and candidates `[b, N]` -> scores `[b, N]`; what it gives
            for padding is ignored.
        keep: How many candidates stay.
        block: Users per call of `score`.

    Returns:
        int32 `[U, keep]`, -1 where a user has fewer candidates. Equal scores stay in
        the candidates' order.

    Raises:
        ValueError: Where a candidate's score is NaN, a candidate repeats in a list, a
            shape is wrong or `keep` < 1.

    Example:
        >>> rerank(np.array([[7, 3, -1]]), lambda rows, items: -items, keep=1)
        array([[3]], dtype=int32)
    """
    check_cut(keep)
    if block < 1:
        raise ValueError(f"`block` must be at least 1, got {block}.")
    candidates = as_items("candidates", candidates)
    kept = np.full((len(candidates), keep), -1, dtype=np.int32)
    for begin in range(0, len(candidates), block):
        items = candidates[begin : begin + block]
        rows = np.arange(begin, begin + len(items))
        scores = np.asarray(score(rows, items))
        if scores.shape != items.shape:
            raise ValueError(
                f"`score` must return shape {items.shape}, one score per candidate, "
                f"got {scores.shape}."
            )
        if np.isnan(scores[items >= 0]).any():
            raise ValueError(
                f"`score` must not return NaN for a candidate, got it for users "
                f"{rows[0]} to {rows[-1]}. Check the model's inputs."
            )
        scores = np.where(items >= 0, scores, -np.inf)
        places = best_places(scores, min(keep, items.shape[1]))
        taken = np.take_along_axis(items, np.maximum(places, 0), axis=1)
        kept[rows, : places.shape[1]] = np.where(places >= 0, taken, -1)
    return kept


def run_cascade(
    recalled: np.ndarray, rerankers: Sequence[Reranker], *, block: int = 256
) -> dict[str, np.ndarray]:
    """Each stage's set: recall's, then what every reranker keeps of the one before.

    Args:
        recalled: int32 `[U, N]`, recall's items, best first: `top_k(...)`.
        rerankers: The stages that follow, in order.
        block: Users per call of a stage's `score`.

    Returns:
        "recall" and each reranker's name -> int32 `[U, kept]`, best first, -1 padded.
        The last one is the page that users see.

    Raises:
        ValueError: Where a stage keeps more than it gets, or names or a list's items
            repeat.

    Example:
        >>> stages = [Reranker("fine", lambda rows, items: -items, keep=2)]
        >>> run_cascade(np.array([[7, 3, 5]], np.int32), stages)["fine"]
        array([[3, 5]], dtype=int32)
    """
    sets = {"recall": as_items("recalled", np.asarray(recalled, dtype=np.int32))}
    current = sets["recall"]
    for stage in rerankers:
        if stage.name in sets:
            raise ValueError(
                f"Stage names must differ, got {stage.name!r} twice. The first "
                "stage is called 'recall'."
            )
        if stage.keep > current.shape[1]:
            raise ValueError(
                f"Stage {stage.name!r} must keep at most the {current.shape[1]} "
                f"items that it gets, got keep={stage.keep}."
            )
        current = rerank(current, stage.score, stage.keep, block=block)
        sets[stage.name] = current
    return sets


def survival(sets: Mapping[str, np.ndarray], relevant: Pairs) -> dict[str, float]:
    """Share of all relevant pairs that are still there after each stage.

    `|{(u, i) relevant: i in set_u}| / |relevant|` over pairs (not a mean over users),
    so that one stage's survival over that of the stage before is what it let through.

    Args:
        sets: Stage -> item rows `[U, N]`, -1 padded: `run_cascade`'s result.
        relevant: The relevant pairs; `relevant.where(head)` evaluates the head alone.

    Returns:
        Stage -> share in [0, 1]; NaN where nothing is relevant.

    Raises:
        ValueError: Where an item repeats in a list.

    Example:
        >>> relevant = Pairs([0, 0], [3, 5])
        >>> survival({"recall": np.array([[3, 5]]), "fine": np.array([[3]])}, relevant)
        {'recall': 1.0, 'fine': 0.5}
    """
    total = len(relevant)
    return {
        name: float(hits(items, relevant).sum() / total) if total else float("nan")
        for name, items in sets.items()
    }


def set_overlap(items: np.ndarray, reference: np.ndarray) -> Mean:
    """Share of the reference's items that a stage's set holds, at the same cut.

    `|set_u and reference_u| / |reference_u|`, both cut to the narrower one's width and
    averaged over users with a reference.

    Args:
        items: A stage's item rows, int `[U, N]`, best first, -1 padded.
        reference: The teacher's best over the whole catalogue, `[U, M]`, best first.

    Returns:
        The mean, and how many users have a reference.

    Raises:
        ValueError: Where the numbers of users differ, or an item repeats in a list.

    Example:
        >>> set_overlap(np.array([[3, 5]]), np.array([[5, 9, 3]])).value
        0.5
    """
    if len(items) != len(reference):
        raise ValueError(
            f"`items` and `reference` must have one row per user, got "
            f"{len(items)} and {len(reference)} rows. Judge the same users."
        )
    items, reference = as_items("items", items), as_items("reference", reference)
    width = min(items.shape[1], reference.shape[1])
    users, places = np.nonzero(reference[:, :width] >= 0)
    wanted = Pairs(users, reference[users, places])
    sizes = wanted.per_user(len(items))
    found = hits(items[:, :width], wanted).sum(axis=1)
    return mean_of(np.where(sizes > 0, found / np.maximum(sizes, 1), np.nan))


class TeacherOverlap(NamedTuple):
    """How far a list follows its teacher's, and how good both are, at one cut.

    Attributes:
        cut: k.
        overlap: Share of the teacher's first k among the list's first k.
        ndcg: NDCG@k of the list.
        recall: Recall@k of the list.
        teacher_ndcg: NDCG@k of the teacher.
        teacher_recall: Recall@k of the teacher.
    """

    cut: int
    overlap: float
    ndcg: float
    recall: float
    teacher_ndcg: float
    teacher_recall: float


def teacher_overlap(
    items: np.ndarray, reference: np.ndarray, relevant: Pairs, cuts: Sequence[int]
) -> list[TeacherOverlap]:
    """The overlap with the teacher's list at each cut, beside what that is worth.

    High overlap with a poor teacher is no merit: the teacher's own quality is always
    given with it.

    Args:
        items: A list's item rows, int `[U, N]`, best first, -1 padded.
        reference: The teacher's best over the whole catalogue, `[U, M]`, best first.
        relevant: The relevant pairs.
        cuts: The k; at most N and M.

    Returns:
        One entry per cut.

    Raises:
        ValueError: Where a cut is above N or M, the numbers of users differ, or an item
            repeats in a list.

    Example:
        >>> relevant = Pairs([0], [9])
        >>> items, reference = np.array([[3, 5]]), np.array([[5, 9]])
        >>> (found,) = teacher_overlap(items, reference, relevant, [2])
        >>> found.overlap, found.recall, found.teacher_recall
        (0.5, 0.0, 1.0)
    """
    return [
        TeacherOverlap(
            k,
            set_overlap(items[:, :k], reference[:, :k]).value,
            retrieval_ndcg(items, relevant, k).value,
            retrieval_recall(items, relevant, k).value,
            retrieval_ndcg(reference, relevant, k).value,
            retrieval_recall(reference, relevant, k).value,
        )
        for k in cuts
    ]


class Regret(NamedTuple):
    """What pages lose against the best ones: see `regret`.

    Attributes:
        absolute: In expected relevant items of a page.
        relative: As a share of the best pages'.
    """

    absolute: float
    relative: float


def regret(page: np.ndarray, best: np.ndarray, value: CandidateScores) -> Regret:
    """What the pages lose in true relevance against the best possible ones.

    `regret = mean_u [sum_{i in best_u} v(u, i) - sum_{i in page_u} v(u, i)]`, and
    relative to `mean_u sum_{i in best_u} v(u, i)`. Where the true relevance v is known,
    as on the simulator, it needs no drawn labels and so has none of their noise.

    Args:
        page: int `[U, K]` item rows, -1 padded.
        best: The oracle's pages, `[U, K]`.
        value: Users `[b]` and items `[b, K]` -> true relevance `[b, K]`; what it gives
            for padding is ignored.

    Returns:
        The regret; relative is NaN where the best pages have no value.

    Raises:
        ValueError: Where the shapes differ, or an item repeats on a page.

    Example:
        >>> regret(np.array([[2, 5]]), np.array([[9, 5]]), lambda rows, items: items)
        Regret(absolute=7.0, relative=0.5)
    """
    if page.shape != best.shape:
        raise ValueError(
            f"`page` and `best` must have one shape, got {page.shape} and "
            f"{best.shape}. Compare pages of one size for the same users."
        )
    page, best = as_items("page", page), as_items("best", best)
    users = np.arange(len(page))
    worth, most = (
        float(np.where(rows >= 0, value(users, rows), 0.0).sum(axis=1).mean())
        for rows in (page, best)
    )
    return Regret(most - worth, 1.0 - worth / most if most else float("nan"))
