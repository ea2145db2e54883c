"""The three settings that tfdistill supports: a Python and the Keras in each.

The benchmarks of the settings take three Pythons, as `scripts/check.py` makes them: one
with TensorFlow 2.15, one with a newer TensorFlow and tf-keras, and one with that
TensorFlow and Keras 3. A script runs itself in each, in a process of its own.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any, NamedTuple

from timing import child

NAMES = ("a", "b", "c")
LEGACY = {"a": "0", "b": "1", "c": "0"}
"""`TF_USE_LEGACY_KERAS`; TensorFlow 2.15 alone has Keras 2 without it."""


class Setting(NamedTuple):
    """One setting of the three."""

    name: str
    python: str


PYTHONS = {"pythons": {"nargs": 3, "metavar": "PYTHON", "help": "of settings a-c"}}
"""What the command line of a script of the settings takes."""


def settings(pythons: Sequence[str]) -> list[Setting]:
    """Returns the settings of three Pythons."""
    return [Setting(*pair) for pair in zip(NAMES, pythons)]


def start(
    setting: Setting, script: str, *arguments: Any, **options: Any
) -> subprocess.Popen:
    """Starts a script as a child in a setting, as `timing.child` does."""
    variables = {"TF_USE_LEGACY_KERAS": LEGACY[setting.name]}
    return child(script, *arguments, python=setting.python, env=variables, **options)


def check_here(name: str) -> None:
    """Refuses a process that is not in the setting which it was started for.

    Raises:
        ValueError: If `tf.keras` is another Keras, or TensorFlow another one.
    """
    import tensorflow as tf

    from tfdistill import _keras

    old = tf.__version__.startswith("2.15.")
    expected = {"a": (True, "2"), "b": (False, "2"), "c": (False, "3")}[name]
    if (old, _keras.VERSION) != expected:
        raise ValueError(
            f"Setting {name} is not TensorFlow {tf.__version__} with Keras "
            f"{_keras.VERSION}. Give Pythons of TensorFlow 2.15, of a newer one with "
            "tf-keras, and of a newer one with Keras 3."
        )
