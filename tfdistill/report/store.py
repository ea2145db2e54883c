"""Results as JSON, and files that are written whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfdistill.data.summary import DataSummary, FeatureShares
from tfdistill.files import written_whole
from tfdistill.report.schema import (
    CalibrationBins,
    Cascade,
    CascadeStage,
    Cost,
    Data,
    Export,
    Model,
    Part,
    Results,
    Stage,
)


def to_json(results: Results) -> str:
    """Returns the results as JSON text, with null for NaN."""
    plain = _nan_to_none(dataclasses.asdict(results))
    return json.dumps(plain, indent=1, allow_nan=False)


def from_json(text: str) -> Results:
    """Returns the results that `to_json` gave.

    Args:
        text: The content of a run's results.json.

    Raises:
        ValueError: Where the text isn't JSON of this schema.

    Example:
        >>> data = Data("made up", rows=9, users=3, items=4, split="none", parts=())
        >>> results = Results("Title", "command", data, seeds=(0,))
        >>> from_json(to_json(results)) == results
        True
    """
    try:
        plain = json.loads(text)
        return Results(**{**plain, **_nested(plain)})
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"These are not a run's results: {error!r}. Pass the results.json that a "
            "run of this version wrote."
        ) from error


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file beside its place and renames it: nobody sees half of it."""
    with written_whole(path) as unfinished:
        unfinished.write_bytes(content)


def _nested(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields that hold dataclasses, made of their plain dicts."""
    data = plain["data"]
    return {
        "data": Data(**{**data, "parts": tuple(Part(**p) for p in data["parts"])}),
        "seeds": tuple(plain["seeds"]),
        "stages": tuple(_stage(stage) for stage in plain["stages"]),
        "cascades": tuple(_cascade(cascade) for cascade in plain["cascades"]),
        "costs": tuple(Cost(**cost) for cost in plain["costs"]),
        "curves": _numbers(plain["curves"]),
        "calibration": tuple(CalibrationBins(**bins) for bins in plain["calibration"]),
        "warnings": tuple(plain["warnings"]),
        "exports": tuple(Export(**export) for export in plain["exports"]),
        "summary": _summary(plain.get("summary")),
    }


def _summary(plain: Mapping[str, Any] | None) -> DataSummary | None:
    if plain is None:
        return None
    shares = tuple(FeatureShares(**feature) for feature in plain["features"])
    rate = math.nan if plain["click_rate"] is None else plain["click_rate"]
    return DataSummary(**{**plain, "click_rate": rate, "features": shares})


def _stage(plain: Mapping[str, Any]) -> Stage:
    models = (
        Model(model["name"], _numbers(model["validation"]), _numbers(model["test"]))
        for model in plain["models"]
    )
    return Stage(plain["name"], plain["primary"], tuple(models))


def _cascade(plain: Mapping[str, Any]) -> Cascade:
    stages = (
        CascadeStage(stage["name"], stage["kept"], _numbers(stage["values"]))
        for stage in plain["stages"]
    )
    return Cascade(plain["name"], _numbers(plain["page"]), tuple(stages))


def _numbers(plain: Mapping[str, Sequence[float | None]]) -> dict[str, list[float]]:
    """Returns the lists with NaN for null."""
    return {
        name: [math.nan if value is None else value for value in values]
        for name, values in plain.items()
    }


def _nan_to_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _nan_to_none(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_nan_to_none(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
