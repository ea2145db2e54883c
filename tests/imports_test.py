"""Importing the package changes nothing and pulls in no more than it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import os
import sys
import tensorflow

tensorflow.keras.layers  # Keras 3 imports matplotlib itself where it is installed
before = set(sys.modules)
environment = dict(os.environ)
path = list(sys.path)
import {module}

assert dict(os.environ) == environment
assert sys.path == path
for host in {hosts}:
    assert host not in set(sys.modules) - before, host
"""
HOSTS = [
    "tensorflow_ranking",
    "tensorflow_recommenders",
    "matplotlib",
    "lightgbm",
]


@pytest.mark.parametrize(
    "module",
    ["tfdistill", "tfdistill.losses", "tfdistill.layers", "tfdistill.trainers"],
)
def test_an_import_has_no_side_effects(module):
    script = SCRIPT.format(module=module, hosts=HOSTS)
    subprocess.run([sys.executable, "-c", script], check=True)
