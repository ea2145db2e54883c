"""The pages of the cookbook run as they are printed, and stay as short as they say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfdistill import _keras

COOKBOOK = Path(__file__).parents[2] / "docs" / "cookbook"
PAGES = sorted(page.name for page in COOKBOOK.glob("*.md") if page.name != "README.md")
BLOCK = re.compile(r"^```python( added)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ADDED_LINES = 15
OF_KERAS_2 = {"tfrs.md": "TFRS models", "tf_ranking.md": "TF-Ranking models"}


@pytest.mark.parametrize("name", PAGES)
def test_the_page_runs_and_its_distiller_is_stored(name, tmp_path):
    if name in OF_KERAS_2 and _keras.VERSION == "3":
        pytest.skip(f"{OF_KERAS_2[name]} need Keras 2")
    page = COOKBOOK / name
    text = page.read_text(encoding="utf-8")
    if "import keras_rs" in text:
        if _keras.VERSION != "3":
            pytest.skip("keras-rs needs Keras 3")
        pytest.importorskip("keras_rs", reason="keras-rs is not installed")
    namespace = {"__name__": "__main__"}
    for block in BLOCK.finditer(text):
        # Blank lines in front: a traceback then names the line of the page.
        blank = "\n" * text.count("\n", 0, block.start(2))
        exec(compile(blank + block[2], str(page), "exec"), namespace)
    distiller, features = namespace["distiller"], namespace["features"]
    distiller.save(tmp_path / "distiller.keras")
    loaded = tf.keras.models.load_model(tmp_path / "distiller.keras")
    scores = distiller.predict(features, verbose=0)
    for name, found in loaded.predict(features, verbose=0).items():
        np.testing.assert_array_equal(found, scores[name])


@pytest.mark.parametrize("name", PAGES)
def test_what_is_added_is_short(name):
    text = (COOKBOOK / name).read_text(encoding="utf-8")
    added = [block[2] for block in BLOCK.finditer(text) if block[1]]
    assert len(added) == 1
    lines = [line for line in added[0].splitlines() if line.strip()]
    assert len(lines) <= ADDED_LINES
    assert max(map(len, lines)) <= 88
    for word in ("GradientBlock(", "Distiller(", "Transfer("):
        assert word in added[0]
