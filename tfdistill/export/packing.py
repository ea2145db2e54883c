"""Requests packed into a few tensors: what a client sends to the signature `packed`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfdistill.layers.packed import packed_order
from tfdistill.spec import FeatureSpec

__all__ = ["pack", "packing"]


def pack(
    features: Mapping[str, Any], spec: FeatureSpec, *, mask: Any = None
) -> dict[str, np.ndarray]:
    """Packs raw features side by side, as the signature `packed` takes them.

    Args:
        features: Raw features by name, user `[B, *shape]`, others `[B, L, *shape]`.
        spec: The features of the served model, in its order.
        mask: Bool `[B, L]`, False for a candidate that only fills a shorter list up;
            by default there is none.

    Returns:
        Up to three tensors a side (see `packed_order`) and `mask`.

    Raises:
        ValueError: If a feature is missing or its shape is not the others'.

    Example:
        >>> from tfdistill.spec import Feature, FeatureSpec
        >>> spec = FeatureSpec((Feature("age", "numeric", "user"),
        ...                     Feature("price", "numeric", "item"),
        ...                     Feature("clicks", "numeric", "item")))
        >>> request = {"age": [31.0], "price": [[5.0, 7.0]], "clicks": [[0.0, 1.0]]}
        >>> packed = pack(request, spec)
        >>> {name: x.shape for name, x in packed.items()}
        {'user_numbers': (1, 1), 'item_numbers': (1, 2, 2), 'mask': (1, 2)}
        >>> packed["item_numbers"][0, 1].tolist()
        [7.0, 1.0]
    """
    missing = [name for name in spec.names if name not in features]
    if missing:
        raise ValueError(
            f"There are no values of {missing}, only of {sorted(features)}."
        )
    packed = {}
    for name, group in packed_order(spec).items():
        columns = []
        for f in group:
            dtype = object if f.dtype == "string" else f.dtype
            column = np.asarray(features[f.name], dtype)
            columns.append(column if f.shape else column[..., np.newaxis])
        shapes = {f.name: x.shape[:-1] for f, x in zip(group, columns)}
        if len(set(shapes.values())) > 1:
            raise ValueError(
                f"The features of {name} must be of the same requests and candidates, "
                f"got the leading shapes {shapes}."
            )
        packed[name] = np.concatenate(columns, axis=-1)
    lists = [x.shape[:-1] for name, x in packed.items() if name.startswith("item")]
    packed["mask"] = np.ones(lists[0], bool) if mask is None else np.asarray(mask, bool)
    return packed


def packing(spec: FeatureSpec) -> dict[str, list[dict[str, Any]]]:
    """Describes the columns of a packed request: the file `packing.json` of an export.

    Args:
        spec: The features of the served model.

    Returns:
        For each tensor its features in order, with the number of their columns and the
        value that stands for a missing one.

    Example:
        >>> from tfdistill.spec import Feature, FeatureSpec
        >>> packing(FeatureSpec((Feature("age", "numeric", "user"),)))
        {'user_numbers': [{'feature': 'age', 'columns': 1, 'default': 0.0}]}
    """
    return {
        name: [
            {"feature": f.name, "columns": int(np.prod(f.shape)), "default": f.default}
            for f in features
        ]
        for name, features in packed_order(spec).items()
    }
