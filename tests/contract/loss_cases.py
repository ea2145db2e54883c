"""The losses under contract: each with default and with other arguments."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import loss_references as ref
import numpy as np

from tfdistill import losses

tfr = losses.tf_ranking()

BATCH, LENGTH, WIDTH = 4, 6, 5


@dataclasses.dataclass(frozen=True)
class Case:
    """One loss under contract.

    Attributes:
        name: Class name, with a suffix for other arguments.
        make: Builds the loss.
        reference: Loss of one example without its invalid items (of the whole batch if
            `whole`), in float64.
        shape: "score" for `[B, L]`, "vector" for `[N, H]`, "in_batch" for queries and
            candidates, "towers" for queries in front of their candidates.
        whole: The reference takes the batch: examples are not independent.
        inputs: Further inputs of a batch: name -> draw(rng, B, L).
        label: The second signal is a label in {0, 1}.
        noise: Relative difference between two calls that draw.
        missing: How many properties are n/a.
    """

    name: str
    make: Callable[[], losses.DistillationLoss]
    reference: Callable[..., float]
    shape: str = "score"
    whole: bool = False
    inputs: Mapping[str, Callable[..., np.ndarray]] = dataclasses.field(
        default_factory=dict
    )
    label: bool = False
    noise: float = 0.0
    missing: int = 0

    def loss(self) -> losses.DistillationLoss:
        return self.make()

    def batch(self, seed: int = 0) -> dict[str, np.ndarray]:
        """A batch with two masked columns, a short list and unequal weights."""
        rng = np.random.default_rng(seed)
        mask = np.ones((BATCH, LENGTH), bool)
        mask[:, 1] = mask[1, 3:] = False
        weights = rng.uniform(0.5, 2.0, mask.shape)
        weights[0, 4] = 0.0
        shapes = {"student": mask.shape, "teacher": mask.shape}
        if self.shape == "vector":
            mask, weights = mask[:, 0].copy(), weights[:, 0]
            mask[1] = False
            shapes = dict.fromkeys(shapes, (BATCH, WIDTH))
        if self.shape == "in_batch":
            shapes = {"student": (BATCH, WIDTH), "teacher": (BATCH, LENGTH, WIDTH)}
        if self.shape == "towers":
            shapes = dict.fromkeys(shapes, (BATCH, 1 + LENGTH, WIDTH))
        batch = {key: rng.normal(0, 1.5, shape) for key, shape in shapes.items()}
        batch |= {"mask": mask, "weights": weights}
        batch["labels"] = (rng.uniform(size=mask.shape) < 0.4) * 1.0
        if self.label:
            batch["teacher"] = batch["labels"]
        for name, draw in self.inputs.items():
            batch[name] = draw(rng, *mask.shape, *[0] * (2 - mask.ndim))
        return {k: v.astype("f") if v.dtype == "d" else v for k, v in batch.items()}

    def expected(self, batch: Mapping[str, np.ndarray]) -> float:
        """Mean of the reference over valid examples."""
        batch = {k: v * 1.0 if v.dtype == "f" else v for k, v in batch.items()}
        batch = {k: v.astype("d") if v.dtype == "f" else v for k, v in batch.items()}
        if self.whole:
            return self.reference(**batch)
        names = ["student", "teacher", "weights", *self.inputs]
        valid = batch["mask"] & (batch["weights"] > 0)
        loss, values = self.loss(), []
        points = loss.example_rank == loss.item_rank
        for index in np.ndindex(valid.shape if points else valid.shape[:-1]):
            keep = () if points else valid[index]
            if np.any(valid[index]):
                values.append(self.reference(*(batch[k][index][keep] for k in names)))
        return float(np.mean(values)) if values else 0.0


def plain(cls: type, reference: Callable[..., float], **options: Any) -> list[Case]:
    """A loss under its default arguments and, if given, under others."""
    keys = ("shape", "whole", "inputs", "label", "noise", "missing")
    case = {key: options.pop(key) for key in keys if key in options}
    cases = [Case(cls.__name__, cls, reference, **case)]
    if options:
        changed = {k: v for k, v in options.items() if k in _arguments(reference)}

        def other(*args: Any, **kwargs: Any) -> float:
            return reference(*args, **kwargs, **changed)

        text = ",".join(f"{k}={v}" for k, v in options.items())
        name = f"{cls.__name__}({text})"
        cases.append(Case(name, lambda: cls(**options), other, **case))
    return cases


def _arguments(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters)


def mapped(cls: type, reference: Callable[..., float]) -> list[Case]:
    """A loss over each of the relevance maps."""
    maps = {
        losses.RankLog(cutoff=4, top=3.0): lambda t: ref.rank_log(t, 4, 3.0),
        losses.Exponential(3.0, topk=3): lambda t: ref.exponential(t, 3.0, topk=3),
        losses.Sigmoid(2.0, top=3.0): lambda t: [3 * ref.sigmoid(x / 2.0) for x in t],
        losses.MinMax(top=3.0): ref.min_max,
        losses.QuantileBuckets(levels=3): ref.quantile_buckets,
    }
    return [
        Case(
            f"{cls.__name__}({type(relevance).__name__})",
            functools.partial(cls, relevance),
            functools.partial(reference, relevance=grades),
            missing=1,
        )
        for relevance, grades in maps.items()
    ]


def _adapted(
    loss: Any, reference: Callable[..., float], name: str, missing: int
) -> Case:
    return Case(
        f"RankingLossAdapter({name})",
        lambda: losses.RankingLossAdapter(loss, losses.Sigmoid(top=1.0)),
        reference,
        missing=missing,
    )


def _softmax_loss(s: Any, t: Any, w: Any) -> float:
    labels = [ref.sigmoid(x) for x in t]
    return -sum(a * b * np.log(q) for a, b, q in zip(labels, w, ref.softmax(s)))


def _tfr_pairs(s: Any, t: Any, w: Any) -> float:
    pairs = [
        w[i] * ref.softplus(-(s[i] - s[j]))
        for i in range(len(s))
        for j in range(len(s))
        if t[i] > t[j]
    ]
    return sum(pairs) / len(s)


def _mean_squared(s: Any, t: Any, w: Any) -> float:
    return sum(c * (a - ref.sigmoid(b)) ** 2 for a, b, c in zip(s, t, w)) / len(s)


def _orders(rng: np.random.Generator, b: int, n: int) -> np.ndarray:
    orders = [[rng.permutation(n)[:3] for _ in range(2)] for _ in range(b)]
    return np.array(orders, np.int32)


_IN_BATCH = {
    "positive": lambda rng, b, n: np.array([0, 2, -1, 5], np.int32)[:b],
    "log_q": lambda rng, b, n: rng.uniform(-3.0, 0.0, (b, n)),
    "item_row": lambda rng, b, n: rng.integers(0, 12, (b, n)).astype("i"),
}


def _in_batch_softmax(**options: Any) -> list[Case]:
    return plain(
        losses.InBatchSoftmax,
        ref.in_batch_softmax,
        shape="in_batch",
        whole=True,
        inputs=_IN_BATCH,
        missing=5,
        **options,
    )


CASES = [
    *plain(losses.SigmoidSoftLabel, ref.sigmoid_soft_label, temperature=2.5, missing=1),
    *plain(
        losses.SoftmaxSoftLabel,
        ref.softmax_soft_label,
        shape="vector",
        temperature=2.5,
    ),
    *plain(losses.LogitMSE, ref.logit_mse, missing=1),
    *plain(losses.ProbabilityMSE, ref.probability_mse, missing=1),
    *plain(
        losses.SigmoidCrossEntropy, ref.sigmoid_cross_entropy, label=True, missing=2
    ),
    *plain(losses.BPR, ref.bpr, missing=1),
    *plain(
        losses.GroupedBPR,
        ref.grouped_bpr,
        inputs={"group": lambda rng, b, n: rng.integers(0, 2, (b, n)).astype("i")},
        decay=1.5,
        missing=2,
    ),
    *plain(losses.RankNet, ref.ranknet, temperature=2.5),
    *plain(losses.MarginMSE, ref.margin_mse),
    *plain(losses.DeltaNDCG, ref.delta_ndcg, topn=2, missing=1),
    *plain(losses.ListSoftmaxKL, ref.list_divergence, temperature=2.5),
    *plain(losses.ListSoftmaxKL, ref.list_divergence, divergence="reverse")[1:],
    *plain(losses.ListSoftmaxKL, ref.list_divergence, divergence="js")[1:],
    *plain(losses.CalibratedListKL, ref.calibrated_list_kl, missing=1),
    *plain(losses.RelevanceCrossEntropy, ref.relevance_cross_entropy, missing=1),
    *plain(losses.PlackettLuce, ref.plackett_luce, topk=2, missing=1),
    *plain(
        losses.TopKSoftLabel, ref.top_k_soft_label, topk=2, rest_weight=0.5, missing=2
    ),
    *plain(
        losses.RankingDistillation,
        ref.ranking_distillation,
        num_items=500,
        topk=2,
        decay=3.0,
        sharpness=0.01,
        discrepancy=0.5,
        missing=2,
    )[1:],
    *plain(
        losses.RankingDistillation,
        ref.ranking_distillation,
        num_items=500,
        topk=2,
        missing=2,
    )[1:],
    *plain(
        losses.CollaborativeDistillation,
        ref.collaborative_distillation,
        temperature=2.0,
        shift=3.0,
        missing=2,
    ),
    *plain(losses.Hint, ref.hint, shape="vector", missing=1),
    *plain(losses.ApproxNDCG, ref.approx_ndcg, temperature=0.5, missing=1),
    *mapped(losses.RelevanceCrossEntropy, ref.relevance_cross_entropy),
    _adapted(tfr.keras.losses.PairwiseLogisticLoss(), _tfr_pairs, "Pairwise", 1),
    _adapted(tfr.keras.losses.SoftmaxLoss(), _softmax_loss, "SoftmaxLoss", 1),
    _adapted(tfr.keras.losses.MeanSquaredLoss(), _mean_squared, "MeanSquaredLoss", 2),
    *plain(losses.CosineHint, ref.cosine_hint, shape="vector", missing=1),
    *plain(
        losses.ClassifierTransfer,
        ref.classifier_transfer,
        shape="vector",
        widths=[2, 3],
        coefficients=[1.0, 0.5],
        missing=1,
    )[1:],
    *plain(
        losses.ClassifierTransfer,
        ref.classifier_transfer,
        shape="vector",
        widths=[2, 3],
        missing=1,
    )[1:],
    *plain(
        losses.FullTopology, ref.full_topology, shape="vector", whole=True, missing=2
    ),
    *plain(
        losses.HierarchicalTopology,
        ref.hierarchical_topology,
        shape="vector",
        whole=True,
        inputs={
            "assignment": lambda rng, b, n: np.eye(3)[rng.integers(0, 2, b)].astype("f")
        },
        missing=3,
    ),
    *plain(
        losses.Contrastive,
        ref.contrastive,
        shape="vector",
        whole=True,
        temperature=0.5,
        missing=3,
    ),
    *plain(
        losses.RankDistil,
        ref.rank_distil,
        whole=True,
        inputs={"orders": _orders},
        noise=0.3,
        missing=1,
        topk=3,
        samples=16,
        temperature=2.0,
        seed=5,
    ),
    *plain(
        losses.InBatchDistillation,
        ref.in_batch_distillation,
        shape="towers",
        whole=True,
        inputs={key: _IN_BATCH[key] for key in ("log_q", "item_row")},
        temperature=2.0,
        missing=3,
    ),
    *_in_batch_softmax(temperature=0.5),
    *_in_batch_softmax(every=True)[1:],
]
