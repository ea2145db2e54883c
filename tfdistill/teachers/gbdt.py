"""Gradient boosted trees as a teacher: LightGBM's raw margins as logits."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tfdistill.arrays import read_arrays
from tfdistill.data.requests import Requests
from tfdistill.documents import read
from tfdistill.files import read_as, written_whole
from tfdistill.identity import fingerprint
from tfdistill.spec import FeatureSpec
from tfdistill.teachers.columns import Columns, Encoding

__all__ = ["GbdtTeacher"]

Objective = Literal["binary", "lambdarank"]

_ENCODED = ("keys", "odds", "share")

_COMMON: dict[str, Any] = {
    "bagging_freq": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
_OBJECTIVES: dict[str, dict[str, Any]] = {
    "binary": {
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": 0.05,
        "num_leaves": 63,
        "min_data_in_leaf": 50,
        "lambda_l2": 1.0,
        "feature_fraction": 0.8,
        "bagging_fraction": 0.8,
    },
    "lambdarank": {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [10],
        "lambdarank_truncation_level": 20,
        "learning_rate": 0.06,
        "num_leaves": 15,
        "min_data_in_leaf": 200,
        "lambda_l2": 5.0,
        "feature_fraction": 0.3,
        "bagging_fraction": 0.7,
        "max_bin": 63,
    },
}


@dataclasses.dataclass(frozen=True, eq=False)
class GbdtTeacher:
    """Boosted trees over the features of requests; made by `fit` or `load`.

    The margin of a candidate is the sum of its leaves' values, `z = sum_t w_t(x)`. With
    the objective `"binary"` the trees minimise the log loss of sigmoid(z): a margin is
    a logit, and goes through the same `Transfer` as a network's. With `"lambdarank"`
    they learn lists, LambdaMART: each pair of candidates of a request with different
    labels weighs as much as swapping them would change NDCG. Its margins order the
    candidates of one request and are no logits: distil them with a loss of lists.
    Score the requests once, before training, and let a `LoggedTeacher` read the scores.

    It is the teacher to take where trees are what serves today. It needs LightGBM:
    `pip install 'tfdistill[gbdt]'`.

    Args:
        columns: How features become columns.
        booster: The trees, a `lightgbm.Booster`.
        source: Where they come from, in words.

    Example:
        >>> from tfdistill.spec import Feature, Table
        >>> rng = np.random.default_rng(0)
        >>> price = rng.normal(size=400).astype(np.float32)
        >>> requests = Requests(
        ...     {}, {"price": price}, np.arange(400, dtype=np.int32).reshape(100, 4),
        ...     (price > 0).astype(np.float32).reshape(100, 4), np.arange(100))
        >>> spec = FeatureSpec((Feature("price", "numeric", "item"),))
        >>> train, valid = requests.select(range(80)), requests.select(range(80, 100))
        >>> teacher = GbdtTeacher.fit(spec, train, valid, rounds=20)
        >>> teacher({"price": np.float32([-1.0, 1.0])}) > 0
        array([False,  True])
        >>> teacher.logits(valid).shape
        (20, 4)
        >>> valid.with_scores({"gbdt": teacher}).scores["gbdt"].dtype
        dtype('float32')

    Reference:
        Ke et al., LightGBM: A Highly Efficient Gradient Boosting Decision Tree, 2017.
        Ke et al., DeepGBM, KDD 2019, teaches a network the leaves instead.
        Burges, From RankNet to LambdaRank to LambdaMART, MSR-TR-2010-82.
    """

    columns: Columns
    booster: Any
    source: str = "boosted trees"

    @classmethod
    def fit(
        cls,
        spec: FeatureSpec,
        train: Requests,
        valid: Requests,
        *,
        objective: Objective = "binary",
        rounds: int = 2000,
        patience: int = 50,
        learning_rate: float | None = None,
        leaves: int | None = None,
        seed: int = 0,
        threads: int = 0,
    ) -> GbdtTeacher:
        """Grows trees until they stop getting better on valid.

        Only labelled candidates count, by their weights. What is better is log loss,
        and NDCG@10 with `"lambdarank"`.

        Args:
            spec: The features to read.
            train: What to learn from; the labels are 0 or 1, with `"lambdarank"` any
                whole grades up to 30.
            valid: What says when to stop.
            objective: What the trees learn: `"binary"` or `"lambdarank"`.
            rounds: The most trees.
            patience: How many trees may fail to be better on valid.
            learning_rate: How much of a tree is added; by default 0.05, and 0.06 with
                `"lambdarank"`.
            leaves: The most leaves of a tree; by default 63, and 15 with
                `"lambdarank"`, whose lists hold many candidates.
            seed: Seed of the rows and columns that each tree sees.
            threads: Of LightGBM; 0 is one per core. The trees do not depend on it.

        Returns:
            The teacher, with the trees up to the best round.

        Raises:
            ValueError: If LightGBM is not installed, a label is not what the objective
                takes, a part has no label, or the requests lack a feature.
        """
        lightgbm = _lightgbm()
        settings = {**_COMMON, **_OBJECTIVES[objective]}
        known = _labelled("train", train, objective)
        positive = (known.labels > 0).astype(np.float32)
        columns, matrix = Columns.fit(
            spec, known.pairs, positive, known.weights, seed=seed
        )
        asked = {"learning_rate": learning_rate, "num_leaves": leaves}
        settings.update({k: v for k, v in asked.items() if v is not None})
        fewest = min(settings["min_data_in_leaf"], max(1, len(matrix) // 20))
        settings.update(seed=seed, num_threads=threads, min_data_in_leaf=fewest)
        data = known.dataset(
            lightgbm, matrix, categorical_feature=columns.categorical, params=settings
        )
        known = _labelled("valid", valid, objective)
        judge = known.dataset(lightgbm, columns.matrix(known.pairs), reference=data)
        grown = lightgbm.train(
            settings,
            data,
            rounds,
            valid_sets=[judge],
            callbacks=[lightgbm.early_stopping(patience, verbose=False)],
        )
        text = grown.model_to_string(num_iteration=grown.best_iteration)
        return cls(columns, lightgbm.Booster(model_str=text))

    @property
    def fingerprint(self) -> str:
        """Changes with any tree, and with how features become columns."""
        encodings = [
            [e.features, e.keys, e.odds, e.share] for e in self.columns.encodings
        ]
        columns = [self.columns.spec.to_json(), self.columns.known, encodings]
        return fingerprint([columns, self.booster.model_to_string()])

    def __call__(self, pairs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns the margins float32 `[N]` of candidates.

        Args:
            pairs: Their features `[N, *shape]`, as `Requests.pairs` gives them.
        """
        margins = self.booster.predict(self.columns.matrix(pairs), raw_score=True)
        return np.asarray(margins, np.float32)

    def logits(self, requests: Requests) -> np.ndarray:
        """Returns the margins float32 `[R, L]` of all candidates, NaN where padded."""
        logits = np.full(requests.candidates.shape, np.nan, np.float32)
        logits[requests.candidates >= 0] = self(requests.pairs())
        return logits

    def save(self, path: str | Path) -> None:
        """Writes spec, columns and trees into one npz file: whole, or not at all."""
        arrays = {f"known/{k}": values for k, values in self.columns.known.items()}
        for encoding in self.columns.encodings:
            for part in _ENCODED:
                name = "/".join((part, *encoding.features))
                arrays[name] = getattr(encoding, part)
        with written_whole(path) as unfinished, open(unfinished, "wb") as file:
            np.savez_compressed(
                file,
                spec=self.columns.spec.to_json(),
                trees=self.booster.model_to_string(),
                encoded=json.dumps([e.features for e in self.columns.encodings]),
                **arrays,
            )

    @classmethod
    def load(cls, path: str | Path) -> GbdtTeacher:
        """Reads what `save` wrote; the margins are the same to the bit.

        Raises:
            ValueError: If LightGBM is not installed, or the file is missing, damaged or
                another one.
        """
        lightgbm = _lightgbm()
        what, remedy = "what GbdtTeacher.save wrote", "Fit the teacher again."
        arrays = read_arrays(path, what=what, remedy=remedy)
        with read_as(path, what, remedy=remedy):
            columns = _columns(arrays)
            booster = lightgbm.Booster(model_str=_text(arrays, "trees"))
            width = columns.matrix(_defaults(columns.spec)).shape[1]
            if booster.num_feature() != width:
                raise ValueError(
                    f"the trees split {booster.num_feature()} columns, the features "
                    f"give {width}"
                )
        return cls(columns, booster, f"the trees in {str(path)!r}")


def _columns(arrays: Mapping[str, np.ndarray]) -> Columns:
    """Puts the columns together again, and checks each array."""
    spec = read(_text(arrays, "spec"), FeatureSpec, what="a feature spec")
    known = {}
    for feature in spec.features:
        if feature.kind == "categorical":
            kind = "U" if feature.dtype == "string" else "i"
            known[feature.name] = _line(arrays, f"known/{feature.name}", kind)
            _check_rising(feature.name, known[feature.name])
    what, names = "the names of the encodings", _text(arrays, "encoded")
    encodings = []
    for features in read(names, tuple[tuple[str, ...], ...], what=what):
        end = "/".join(features)
        keys = _line(arrays, f"keys/{end}", "i")
        odds, share = (_line(arrays, f"{part}/{end}", "f") for part in _ENCODED[1:])
        if not len(keys) == len(odds) == len(share) or keys[:1].tolist() != [-1]:
            raise ValueError(f"the encoding of {end!r} has arrays that do not fit.")
        _check_rising(end, keys)
        unknown = sorted(set(features) - set(known))
        if unknown or not features:
            raise ValueError(f"an encoding is of the features {list(features)}.")
        encodings.append(Encoding(features, keys, odds, share))
    return Columns(spec, known, tuple(encodings))


def _defaults(spec: FeatureSpec) -> dict[str, np.ndarray]:
    """One candidate whose features all have their defaults."""
    return {
        f.name: np.array([f.default] * math.prod(f.shape)).reshape(1, *f.shape)
        for f in spec.features
    }


def _line(arrays: Mapping[str, np.ndarray], name: str, kind: str) -> np.ndarray:
    array = arrays.get(name)
    if array is None or array.ndim != 1 or array.dtype.kind != kind:
        got = "nothing" if array is None else f"{array.dtype} {array.shape}"
        raise ValueError(f"{name!r} must be one axis of kind {kind!r}, got {got}.")
    if kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name!r} must be finite.")
    return array


def _check_rising(name: str, array: np.ndarray) -> None:
    if not (array[:-1] < array[1:]).all():
        raise ValueError(f"the values of {name!r} must rise.")


def _text(arrays: Mapping[str, np.ndarray], name: str) -> str:
    array = arrays.get(name)
    if array is None or array.shape or array.dtype.kind != "U":
        raise ValueError(f"the text {name!r} is missing.")
    return str(array)


@dataclasses.dataclass(frozen=True, eq=False)
class _Labelled:
    """The labelled candidates of a part, and how many each request has, in order."""

    pairs: Mapping[str, np.ndarray]
    labels: np.ndarray
    weights: np.ndarray
    sizes: np.ndarray | None

    def dataset(self, lightgbm: Any, matrix: np.ndarray, **options: Any) -> Any:
        """As LightGBM takes it."""
        given = {"weight": self.weights, "group": self.sizes, **options}
        return lightgbm.Dataset(matrix, self.labels, **given)


def _labelled(part: str, requests: Requests, objective: Objective) -> _Labelled:
    """The candidates that have a label, and are what the objective takes."""
    mask = requests.candidates >= 0
    labels = requests.labels[mask]
    weights = (
        np.ones_like(labels) if requests.weights is None else requests.weights[mask]
    )
    known, highest = ~np.isnan(labels), 30 if objective == "lambdarank" else 1
    strange = labels[known & ((labels > highest) | (labels % 1 != 0))]
    if len(strange) or not known.any():
        raise ValueError(
            f"GbdtTeacher takes whole labels 0 .. {highest} for {objective!r}, but "
            f"{part} has {strange[0] if len(strange) else 'no label at all'}."
        )
    pairs = {name: values[known] for name, values in requests.pairs().items()}
    sizes = None
    if objective == "lambdarank":
        sizes = np.unique(np.nonzero(mask)[0][known], return_counts=True)[1]
    return _Labelled(pairs, labels[known], weights[known], sizes)


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError as error:
        raise ValueError(
            "GbdtTeacher needs LightGBM, which is not installed; run "
            "pip install 'tfdistill[gbdt]'."
        ) from error
    return lightgbm
