"""What the simulator simulates, and the settings that the reports show."""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np

__all__ = ["BAD_TEACHER", "EQUAL_FEATURES_AMPLE_DATA", "MAIN", "SimulatorConfig"]


@dataclasses.dataclass(frozen=True)
class SimulatorConfig:
    """What `simulate` simulates; sizes, strengths and noise of everything.

    The logit of a click is low-rank, with d latent tastes of user u and item i:

        logit = affinity * t_u . t_i / sqrt(d) + quality * q_i + activity * a_u + b

    t, q and a are standard normal. b makes the mean probability of the logged
    impressions `ctr`. What the models see is read off (t_u, a_u) and (t_i, q_i) with
    noise, and lists are what a logging policy with a noisy guess of the taste showed.
    The defaults are the setting `MAIN`.

    Args:
        users: U.
        items: I, the size of the catalogue.
        requests_per_user: Requests of each user; R is U times this.
        list_size: L, candidates of a request.
        latent_dim: d.
        fields: Categorical features of each side.
        field_size: Values of a categorical feature.
        numeric: Numeric values of each side.
        observation_noise: Noise of the features, in standard deviations of a latent.
        history: Length of the user's history of clicks.
        privileged_noise: Noise of the features that only a teacher may see, one value
            for each latent; None for no such features.
        affinity: Strength of the taste.
        quality: Strength of the item's quality.
        activity: Strength of the user's activity.
        ctr: Mean click probability of the impressions.
        popularity: Exponent of the Zipf law by which the policy draws items, better
            items first by tendency.
        exposure: How strongly the policy follows its guess of the taste, from 0.
        teacher_drift: From 0 to 1, how far the tastes in `teacher_requests` are from
            the users' tastes now; at 1 they have nothing in common.
        embedding_dim: Width of the tables in the spec.
        seed: Seed of everything.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> SimulatorConfig(users=500).tiny().users
        50
    """

    users: int = 2000
    items: int = 2000
    requests_per_user: int = 10
    list_size: int = 20
    latent_dim: int = 8
    fields: int = 4
    field_size: int = 16
    numeric: int = 2
    observation_noise: float = 1.0
    history: int = 10
    privileged_noise: float | None = 0.3
    affinity: float = 1.2
    quality: float = 0.5
    activity: float = 0.5
    ctr: float = 0.1
    popularity: float = 0.8
    exposure: float = 1.0
    teacher_drift: float = 0.0
    embedding_dim: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            least = 1 if field.type == "int" and field.name != "seed" else 0
            if value is not None and not value >= least:
                raise ValueError(
                    f"SimulatorConfig: {field.name} must be at least {least}, got "
                    f"{value}."
                )
        if not 0 < self.ctr < 1 or self.teacher_drift > 1:
            raise ValueError(
                "SimulatorConfig: ctr must lie between 0 and 1 and teacher_drift must "
                f"be at most 1, got {self.ctr} and {self.teacher_drift}."
            )
        if self.items < self.list_size:
            raise ValueError(
                f"SimulatorConfig: a list of {self.list_size} needs as many items, got "
                f"{self.items}."
            )

    def random(self, purpose: str) -> np.random.Generator:
        """Returns the random numbers of one purpose, whatever others have drawn."""
        return np.random.default_rng((self.seed, zlib.crc32(purpose.encode())))

    def tiny(self) -> SimulatorConfig:
        """Returns the same setting with a tenth of the users and items, for tests."""
        return dataclasses.replace(
            self,
            users=max(self.users // 10, 1),
            items=max(self.items // 10, self.list_size),
        )


MAIN = SimulatorConfig()
"""Little data and a teacher that sees more: distillation should help.

400,000 impressions, about 20 clicks an item and 20 a user, are few for what a student
has to learn. The teacher's privileged features show the latents with little noise.
"""

EQUAL_FEATURES_AMPLE_DATA = SimulatorConfig(
    users=1000, items=500, requests_per_user=60, privileged_noise=None
)
"""Nothing that a teacher could know better: distillation should not help.

No privileged feature, and 1,200 impressions a user and 2,400 an item: a student that
has the teacher's features learns them from the labels.
"""

BAD_TEACHER = dataclasses.replace(MAIN, teacher_drift=1.0)
"""A teacher of tastes that are gone: distillation should not help, but harm.

As `MAIN`, but the teacher is trained on `teacher_requests`, whose labels come from
tastes that have nothing in common with the users' tastes now. It knows the quality of
items and the activity of users only, and it expects fewer clicks (.06 instead of .10),
as the lists suit today's tastes.
"""
