"""The page of programs runs as it is printed, on data made up here."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

import tfdistill as td

PAGE = Path(__file__).parents[2] / "docs" / "programs.md"
USERS, ITEMS = 40, 150
SPEC = td.FeatureSpec(
    (
        td.Feature("user_id", "categorical", "user", table="user"),
        td.Feature("item_id", "categorical", "item", table="item"),
        td.Feature("price", "numeric", "item"),
    ),
    (td.Table("user", 4, size=USERS), td.Table("item", 4, size=ITEMS)),
)


def write(folder: Path) -> None:
    rng = np.random.default_rng(0)
    user, item = np.divmod(rng.permutation(USERS * ITEMS)[:2400], ITEMS)
    time = np.arange(2400)
    frame = pd.DataFrame({"user_id": user, "item_id": item, "time": time})
    frame.to_csv(folder / "clicks.csv", index=False)
    lists = frame.assign(
        request=[f"{u}-{t // 600}" for u, t in zip(user, time)],
        click=(rng.random(2400) < 0.4).astype(int),
        price=item % 7.0,
    )
    lists.to_parquet(folder / "mine.parquet")


def existing() -> dict:
    x = tf.random.stateless_normal([64, 4], seed=[0, 1])
    teacher, student = (
        tf.keras.Sequential([tf.keras.layers.Dense(1, "sigmoid")]) for _ in range(2)
    )
    teacher(x)
    data = tf.data.Dataset.from_tensor_slices((x, x[:, 0] > 0)).batch(16)
    return {"student": student, "teacher": teacher, "data": data}


def test_the_programs_run(tmp_path, monkeypatch):
    """With the recipes' epochs cut down: the rest is as it is printed."""
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    train = td.train

    def quick(recipe, *arguments, **options):
        few = recipe.changed(epochs=1, batch_size=16, candidates=None)
        return train(few, *arguments, **options)

    monkeypatch.setattr(td, "train", quick, raising=False)
    space = {"spec": SPEC, **existing()}
    for code in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S):
        exec(compile(code, PAGE.name, "exec"), space)
    assert set(space["nets"]) == {"teacher", "recall", "coarse", "fine"}
    for name in ("fine", "recall", "page"):
        assert (tmp_path / "serving" / name / "1" / "saved_model.pb").is_file()
    assert space["found"]["recall"].task == space["changed"].nets["recall"].task
