"""Evaluates and publishes: nets, cascades and baselines by the same two calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tfdistill import export
from tfdistill.export import ExportReport, Servable
from tfdistill.metrics import top_k
from tfdistill.study.evaluators import RECALL_CUT, CatalogueEvaluator, ListEvaluator
from tfdistill.study.trained import Catalogue

__all__ = ["Scores", "evaluate", "publish"]

Scores = Callable[[np.ndarray], np.ndarray]
"""A model of the catalogue: user numbers `[b]` to the scores of all items `[b, I]`."""


class Measured(Protocol):
    """A model with metrics of its own: a trained net, a cascade."""

    def metrics(self, evaluator: Any) -> dict[str, float]:
        """Returns them."""


class Servant(Protocol):
    """A model that can be served: a trained net, a cascade."""

    def servable(self, catalogue: Catalogue | None = None, **options: Any) -> Servable:
        """Returns it as it is served."""


def evaluate(
    models: Mapping[str, Measured | Scores], evaluator: ListEvaluator
) -> dict[str, dict[str, float]]:
    """Returns the metrics of models on one part of a problem.

    Args:
        models: By name: trained nets, each on its own task, cascades, by their page,
            and baselines that score the catalogue, such as `Ease`.
        evaluator: The part, such as `problem.test`.

    Returns:
        For each model its metrics by name.

    Raises:
        ValueError: If recall or a cascade is judged without a catalogue.

    Example:
        ```python
        evaluate({**nets, "EASE": Ease.tuned(problem.interactions)}, problem.test)
        ```
    """
    return {
        name: model.metrics(evaluator)
        if hasattr(model, "metrics")
        else _of_catalogue(model, evaluator.over_catalogue("A model of the catalogue"))
        for name, model in models.items()
    }


def _of_catalogue(scores: Scores, evaluator: CatalogueEvaluator) -> dict[str, float]:
    """The retrieval metrics of a model that scores all items for user numbers."""
    users = evaluator.requests.group[evaluator.first]
    top = top_k(
        lambda rows: scores(users[rows]), len(users), RECALL_CUT, seen=evaluator.seen
    )
    return evaluator.retrieval(top)


def publish(
    model: Servant,
    directory: str | os.PathLike[str],
    *,
    catalogue: Catalogue | None = None,
    version: int | None = None,
    **options: Any,
) -> ExportReport:
    """Publishes a trained net or a cascade as a SavedModel, checked in another process.

    Args:
        model: A trained net, or `nets.cascade(...)`.
        directory: Where the versions of the model are: a server's base path of it.
        catalogue: The items, such as `problem.items`; recall and cascades need it.
        version: The version, by default the next one.
        **options: Further arguments of its `servable`, such as `forbidden`: models that
            must not go out with it.

    Returns:
        What was published, and how it was checked.

    Raises:
        ValueError: If a catalogue is missing, or the model reads privileged features.
        RuntimeError: If the answers of another process differ.
    """
    place = Path(directory)
    servable = model.servable(catalogue, **options)
    return export.publish({place: servable}, version=version)[place]
