"""The serving page: its code runs, and what it shows is what a user sees."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfdistill.export.c_loader import call

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"


def blocks(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.M | re.S)


@pytest.fixture(scope="module")
def names():
    """What the page's code has defined at its end."""
    found: dict[str, object] = {"__name__": "page"}
    exec(compile("\n".join(blocks("python")), str(PAGE), "exec"), found)
    return found


def saved_model_cli(*arguments: str) -> str:
    """What the command of TensorFlow's wheel prints, without its log."""
    script = "from tensorflow.python.tools.saved_model_cli import main; main()"
    process = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return process.stdout


def test_the_code_runs_and_the_model_was_verified(names):
    assert names["report"].max_difference <= 1e-5
    assert [timing.candidates for timing in names["timings"]] == [1, 50, 500]


def test_the_order_of_columns_is_the_one_shown(names):
    (shown,) = blocks("json")
    file = names["base"] / "1" / "assets.extra" / "packing.json"
    assert json.loads(shown) == json.loads(file.read_text())


def test_saved_model_cli_shows_what_the_page_shows(names):
    (shown,) = blocks("text")
    where = ["--dir", str(names["base"] / "1"), "--tag_set", "serve"]
    found = saved_model_cli("show", *where, "--signature_def", "packed")
    assert found.strip() == shown.strip()


def test_saved_model_cli_runs_the_packed_signature(names, tmp_path):
    packed, model = names["packed"], names["base"] / "1"
    file = tmp_path / "request.npz"
    texts = {k: v.astype(bytes) for k, v in packed.items() if v.dtype == object}
    np.savez(file, **{**packed, **texts})
    saved_model_cli(
        *("run", "--dir", str(model), "--tag_set", "serve"),
        *("--signature_def", "packed", "--outdir", str(tmp_path)),
        *("--inputs", ";".join(f"{name}={file}[{name}]" for name in packed)),
    )
    (answer,) = call(model, [("packed", packed)])
    np.testing.assert_allclose(
        np.load(tmp_path / "scores.npy"), answer["scores"], atol=1e-5
    )
    np.testing.assert_allclose(names["scores"], answer["scores"], atol=1e-5)
