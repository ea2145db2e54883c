"""A problem: what nets are trained on, what they are judged by, and the catalogue."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from tfdistill.data.columns import codes, require_columns
from tfdistill.data.implicit import ImplicitFeedback
from tfdistill.data.interactions import InteractionLog
from tfdistill.data.readers import rows_of
from tfdistill.data.requests import Requests
from tfdistill.data.summary import DataSummary
from tfdistill.data.times import instants
from tfdistill.data.windows import RequestParts
from tfdistill.metrics import head_items
from tfdistill.pairs import Pairs
from tfdistill.report import Data
from tfdistill.spec import FeatureSpec
from tfdistill.study.about import about
from tfdistill.study.evaluators import CatalogueEvaluator, ListEvaluator
from tfdistill.study.impressions import Impressions, table_name
from tfdistill.study.trained import Catalogue

__all__ = ["Problem"]


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """What nets are trained on and judged by.

    Args:
        spec: The features.
        train: The training requests.
        valid: The evaluator that chooses each net's epoch.
        test: The evaluator for what is reported.
        known: Training pairs, which are drawn as no negatives.
        item_ids: `[I]`, what the items are called.
        feedback: The interactions, where the problem was made of them alone.
        described: Where the data came from and how they were split, for reports.
        facts: What a reader of reports must know besides, by its label.
        summary: What the impressions look like.
        log: Who took what and when, for baselines and scorers of pairs: all parts.
    """

    spec: FeatureSpec
    train: Requests
    valid: ListEvaluator
    test: ListEvaluator
    known: Pairs | None = None
    item_ids: np.ndarray | None = None
    feedback: ImplicitFeedback | None = None
    described: Data | None = None
    facts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    summary: DataSummary | None = None
    log: InteractionLog | None = None

    @property
    def about(self) -> Data:
        """Where the data came from, how they were split, and what is in them."""
        if self.described is not None:
            return self.described
        parts = self._parts
        rows = sum(int((part.candidates >= 0).sum()) for part in parts.values())
        return about("Requests in memory.", rows, "as given", parts)

    @property
    def _parts(self) -> dict[str, Requests]:
        valid, test = self.valid.requests, self.test.requests
        return {"train": self.train, "valid": valid, "test": test}

    @property
    def items(self) -> Catalogue:
        """The catalogue: what recall is exported with.

        Raises:
            ValueError: If each impression is an item of its own, or what the items are
                called is not known.
        """
        self.train.require_catalogue("The catalogue of a problem")
        if self.item_ids is None:
            raise ValueError(
                "The items of this problem have no ids to be served under: make the "
                "column of the item a feature of the spec, or give `item_ids` to "
                "Problem.from_parts."
            )
        return Catalogue(self.item_ids, self.train.items)

    @property
    def interactions(self) -> ImplicitFeedback:
        """The interactions, for teachers of the catalogue and their lists.

        Raises:
            ValueError: If the problem was made of impressions.
        """
        if self.feedback is None:
            raise ValueError(
                "Teachers that rank the catalogue, and students of their lists, learn "
                "from interactions: make the problem by Problem.from_interactions(...) "
                "of the impressions that were clicked."
            )
        return self.feedback

    @property
    def interaction_log(self) -> InteractionLog:
        """Who took what and when, for what learns from it.

        Raises:
            ValueError: If the problem has no log.
        """
        if self.log is None:
            raise ValueError(
                "Baselines, scorers of pairs and students of lists learn from a log of "
                "interactions, which this problem has not: make it by "
                "Problem.from_interactions, or give the column of the item (`item=`) "
                "to Problem.from_impressions, or `log` to Problem.from_parts."
            )
        return self.log

    @classmethod
    def from_impressions(
        cls,
        table: str | Path | Any,
        spec: FeatureSpec,
        *,
        request: str,
        label: str,
        item: str | None = None,
        user: str | None = None,
        time: str | None = None,
        time_format: str | None = None,
        list_size: int | None = None,
        separator: str | None = None,
        console: Console | None = None,
    ) -> Problem:
        """Makes a problem of impressions: who was shown what, and what was clicked.

        The requests are split 80 / 10 / 10 %, by time if there is one.

        Args:
            table: A Parquet or CSV file, or a pandas frame, one row per impression.
            spec: The features.
            request: Column that tells the requests apart.
            label: Column of the labels, 0 or 1.
            item: Column of the item: recall, cascades and drawn negatives need it.
            user: Column of the user; by default every request is another user's.
            time: Column of the time; without it the split is random.
            time_format: Format of a time that is text and not ISO 8601.
            list_size: How many impressions of a request to keep, the first ones.
            separator: Stands between the fields of a CSV file.
            console: Where the summary of the data is printed; nowhere by default.

        Returns:
            The problem. Recall is judged by the clicks of each user's later requests.

        Raises:
            ValueError: If the table does not fit the spec.

        Example:
            >>> import pandas as pd
            >>> from tfdistill import Feature
            >>> frame = pd.DataFrame({
            ...     "request": np.arange(60) // 3, "price": np.arange(60.0) % 7,
            ...     "click": (np.arange(60) % 7 < 2).astype(int)})
            >>> spec = FeatureSpec((Feature("price", "numeric", "item"),))
            >>> problem = Problem.from_impressions(
            ...     frame, spec, request="request", label="click")
            >>> problem.train.num_requests, problem.test.requests.num_requests
            (16, 2)
        """
        data = Impressions(
            Path(table) if isinstance(table, (str, Path)) else table,
            spec,
            request,
            label,
            user,
            time,
            time_format,
            list_size,
            separator,
            item,
        )
        return cls.of(data, *data.read(console=console))

    @classmethod
    def of(cls, data: Impressions, requests: Requests, summary: DataSummary) -> Problem:
        """Makes a problem of impressions that are read already.

        Args:
            data: What they are.
            requests: What was read, perhaps with scores besides.
            summary: What they look like.
        """
        parts = data.parts(requests)
        ids = None if data.item is None else requests.items.get(data.item)
        log = None if data.item is None else InteractionLog.of_requests(parts)
        return dataclasses.replace(
            cls.from_parts(data.spec, parts, item_ids=ids, log=log),
            described=about(f"Read from {data.name}.", summary.rows, data.split, parts),
            summary=summary,
        )

    @classmethod
    def from_parts(
        cls,
        spec: FeatureSpec,
        parts: Mapping[str, Requests],
        *,
        item_ids: np.ndarray | None = None,
        log: InteractionLog | None = None,
    ) -> Problem:
        """Makes a problem of requests that are split already.

        Args:
            spec: The features.
            parts: Requests of `"train"`, `"valid"` and `"test"`, over one catalogue.
            item_ids: `[I]`, what the items are called.
            log: Who took what and when, such as `RequestParts.log`.
        """
        train, valid, test = (parts[name] for name in ("train", "valid", "test"))
        if not train.catalogue:
            return cls(spec, train, ListEvaluator(valid), ListEvaluator(test))
        clicked, later = train.positives(), valid.positives()
        head = head_items(clicked.per_item())
        return cls(
            spec,
            train,
            CatalogueEvaluator(valid, clicked, head),
            CatalogueEvaluator(test, clicked.union(later), head),
            train.shown(),
            item_ids,
            log=log,
        )

    @classmethod
    def from_interactions(
        cls,
        table: str | Path | Any,
        *,
        user: str,
        item: str,
        time: str | None = None,
        time_format: str | None = None,
        dim: int = 32,
        core: int = 1,
        separator: str | None = None,
    ) -> Problem:
        """Makes a problem of interactions alone: who took what, and when.

        Of each user the last tenth is test, the tenth before it valid; without a time
        they are drawn. The features are the ids, and each user's last items.

        Args:
            table: A Parquet or CSV file, or a pandas frame, one row per interaction.
            user: Column of the user.
            item: Column of the item.
            time: Column of the time.
            time_format: Format of a time that is text and not ISO 8601.
            dim: Width of a user's and of an item's vector.
            core: Users and items with fewer interactions are left out.
            separator: Stands between the fields of a CSV file.

        Returns:
            The problem: every interaction is a positive, and what was taken before is
            not recommended again.

        Raises:
            ValueError: If a column is missing or a value is none.
        """
        frame = _interactions(table, user, item, time, time_format, separator)
        name = f"Interactions of {table_name(table)}."
        data = ImplicitFeedback.from_frame(name, frame, core=core)
        return cls.from_feedback(data, dim=dim)

    @classmethod
    def from_feedback(cls, data: ImplicitFeedback, *, dim: int = 32) -> Problem:
        """Makes a problem of interactions that are split already.

        Args:
            data: The interactions, such as those of a public set.
            dim: Width of a user's and of an item's vector.
        """
        head = head_items(data.popularity)
        valid, test = (
            CatalogueEvaluator(data.requests(part), data.seen(part), head)
            for part in ("valid", "test")
        )
        made = cls(
            data.spec(dim),
            data.requests("train"),
            valid,
            test,
            data.train,
            data.item_ids,
            data,
            log=data.log,
        )
        rows = len(data.train) + len(data.valid) + len(data.test)
        described = about(data.name, rows, "of each user's interactions", made._parts)
        return dataclasses.replace(made, described=described)

    @classmethod
    def from_windows(cls, spec: FeatureSpec, parts: RequestParts) -> Problem:
        """Makes a problem of interactions that are cut into lists, with their features.

        Args:
            spec: The features.
            parts: What `windows` gave; `item_id` is what the items are called.
        """
        items = parts.train.items
        head = head_items(parts.known.per_item())
        valid, test = (
            CatalogueEvaluator(getattr(parts, part), parts.before(part), head)
            for part in ("valid", "test")
        )
        return cls(
            spec,
            parts.train,
            valid,
            test,
            parts.known,
            items["item_id"],
            log=parts.log,
            facts={"Split": parts.split.sentence},
        )


def _interactions(
    table: Any,
    user: str,
    item: str,
    time: str | None,
    time_format: str | None,
    separator: str | None,
) -> pd.DataFrame:
    """The three columns under the names that splits read."""
    columns = tuple(column for column in (user, item, time) if column)
    with rows_of(table, columns, "interactions", separator=separator) as frame:
        require_columns(frame, columns)
        keys = {
            name: codes(frame, column)
            for name, column in (("user_id", user), ("item_id", item))
        }
        when = (
            np.random.default_rng(0).permutation(len(frame))
            if time is None
            else instants(frame[time], time, time_format)
        )
    values = {name: distinct[code] for name, (code, distinct) in keys.items()}
    return pd.DataFrame({**values, "timestamp": when})
