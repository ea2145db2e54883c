"""What a number was measured on: versions and hardware, for reports and benchmarks."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from pathlib import Path

import tensorflow as tf

from tfdistill.version import __version__

__all__ = ["hardware", "versions"]

_PACKAGES = (
    "tensorflow",
    "tensorflow-recommenders",
    "tensorflow-ranking",
    "numpy",
)


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that numbers depend on.

    Of Keras it is the one that `tf.keras` is.
    """
    found = {"tfdistill": __version__, "python": platform.python_version()}
    keras = tf.keras.Model.__module__.partition(".")[0]  # keras or tf_keras
    for package in (*_PACKAGES, keras):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def hardware() -> str:
    """Returns one line: processor, number of CPUs that may be used, system."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        model = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text())
        name = model.group(1) if model else name
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count()
    return f"{name}, {cpus} CPUs, {platform.system()}"
