"""What the simulator lets models see of its latents."""

from __future__ import annotations

import math

import numpy as np

from tfdistill.datasets.synthetic_settings import SimulatorConfig
from tfdistill.spec import Feature, FeatureSpec, Table

__all__ = ["feature_spec", "observed_features", "privileged_features"]


def feature_spec(config: SimulatorConfig) -> FeatureSpec:
    """Returns the spec of what the two functions below make, and of `history`."""
    numerics = [("numeric", config.numeric, config.observation_noise, False)]
    if config.privileged_noise is not None:
        width = config.latent_dim + 1
        numerics.append(("signal", width, config.privileged_noise, True))
    features, tables = [], []
    for side, size in (("user", config.users), ("item", config.items)):
        sizes = {f"{side}_id": size}
        sizes.update(dict.fromkeys(_field_names(config, side), config.field_size))
        for name, rows in sizes.items():
            features.append(Feature(name, "categorical", side, table=name))
            tables.append(Table(name, config.embedding_dim, size=rows))
        for kind, width, noise, privileged in numerics:
            name, scale = f"{side}_{kind}", math.hypot(1.0, noise)
            numeric = Feature(
                name,
                "numeric",
                side,
                shape=(width,),
                privileged=privileged,
                scale=scale,
            )
            features.append(numeric)
    history = Feature(
        "history", "categorical", "user", table="item_id", shape=(config.history,)
    )
    return FeatureSpec((*features, history), tuple(tables))


def observed_features(
    config: SimulatorConfig, side: str, latents: np.ndarray
) -> dict[str, np.ndarray]:
    """Makes the features of one side that every model may see.

    Args:
        config: The configuration.
        side: `"user"` or `"item"`.
        latents: `[n, d + 1]`, the latents of the users or items.

    Returns:
        By name: the id, each categorical field (the nearest of random directions to the
        noisy latents) and the numeric feature (noisy projections of the latents).
    """
    rng = config.random(f"{side} features")
    shape, width = latents.shape, latents.shape[1]
    features = {f"{side}_id": np.arange(len(latents))}
    for name in _field_names(config, side):
        noise = rng.standard_normal(shape, np.float32)
        directions = rng.standard_normal((width, config.field_size), np.float32)
        noisy = latents + config.observation_noise * noise
        features[name] = np.argmax(noisy @ directions, axis=1)
    directions = rng.standard_normal((width, config.numeric), np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    noise = rng.standard_normal((len(latents), config.numeric), np.float32)
    values = latents @ directions + config.observation_noise * noise
    return {**features, f"{side}_numeric": values.astype(np.float32)}


def privileged_features(
    config: SimulatorConfig, side: str, latents: np.ndarray
) -> dict[str, np.ndarray]:
    """Makes the feature that only a teacher may see: the latents with little noise.

    Args:
        config: The configuration.
        side: `"user"` or `"item"`.
        latents: `[n, d + 1]`; each row gets noise of its own, so that a user's
            requests differ.

    Returns:
        By name; nothing where the configuration has no such feature.
    """
    if config.privileged_noise is None:
        return {}
    noise = config.random(f"{side} signal").standard_normal(latents.shape, np.float32)
    values = latents + config.privileged_noise * noise
    return {f"{side}_signal": values.astype(np.float32)}


def _field_names(config: SimulatorConfig, side: str) -> list[str]:
    return [f"{side}_field_{number}" for number in range(config.fields)]
