import numpy as np
import pandas as pd

from tfdistill.data.batching import RequestBatches
from tfdistill.data.columns import feature_values
from tfdistill.data.readers import read_frame, requests_from_frame
from tfdistill.data.requests import split_requests
from tfdistill.spec import RESERVED_NAMES, Feature, FeatureSpec

SPEC = """{
 "features": [
  {"name": "country", "kind": "categorical", "scope": "user", "table": "country",
   "dtype": "string"},
  {"name": "item", "kind": "categorical", "scope": "item", "table": "item"},
  {"name": "price", "kind": "numeric", "scope": "item", "mean": 10.0, "scale": 4.0}],
 "tables": [
  {"name": "country", "dim": 4, "kind": "hash", "size": 50},
  {"name": "item", "dim": 8, "size": 40}]
}"""


def test_a_file_and_a_spec_are_enough(tmp_path):
    rng = np.random.default_rng(0)
    item = rng.integers(0, 40, 600)
    frame = pd.DataFrame(
        {
            "session": np.arange(600) // 6,
            "member": np.arange(600) // 60,
            "at": 1000 - np.arange(600),
            "country": np.array(["no", "it"])[np.arange(600) // 60 % 2],
            "item": item,
            "price": item + 0.5,
            "bought": rng.integers(0, 2, 600),
        }
    )
    frame.to_parquet(tmp_path / "mine.parquet")
    (tmp_path / "spec.json").write_text(SPEC)
    spec = FeatureSpec.load(tmp_path / "spec.json")
    requests = requests_from_frame(
        read_frame(tmp_path / "mine.parquet", spec.names),
        spec,
        request="session",
        label="bought",
        user="member",
        item="item",
        time="at",
    )
    train, test = split_requests(requests, (0.8, 0.2))
    assert (train.num_requests, test.num_requests) == (80, 20)
    assert set(test.group) == {8, 9}  # users are numbered by their first request
    assert requests.users["country"][:20].tolist() == ["it"] * 10 + ["no"] * 10
    batches = RequestBatches(train, batch_size=16, negatives=4, known=train.positives())
    x, y, w = next(iter(batches()))
    assert set(x) == {*spec.names, *RESERVED_NAMES}
    assert x["price"].shape == y["fine"].shape == w["fine"].shape == (16, 10)
    np.testing.assert_array_equal(x["price"], x["item"].numpy() + 0.5)


def test_equal_texts_of_a_column_are_one_object():
    """Else ten million cells are ten million objects."""
    feature = Feature(
        "a", "categorical", "user", table="a", dtype="string", default="?"
    )
    cells = pd.Series(["".join(["x", "y"]) for _ in range(3)] + [None])
    values = feature_values(pd.DataFrame({"a": cells}), feature)
    assert values.tolist() == ["xy", "xy", "xy", "?"]
    assert values[0] is values[1] is values[2]
