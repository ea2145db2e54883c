"""The bounds of setup.py, and the constraints files beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).parents[1]
CONSTRAINTS = sorted((ROOT / "constraints").glob("*.txt"))


def pins(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(re.findall(r"^([\w-]+)==(\S+)$", "\n".join(lines), flags=re.M))


def lower_bounds() -> dict[str, str]:
    """The lower bounds in setup.py, but those that only newer Pythons have."""
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    found = re.findall(r'"([a-z0-9-]+)>=([0-9.]+)([^"]*)"', text)
    return {name: bound for name, bound, rest in found if "{NEW}" not in rest}


def test_every_lower_bound_is_what_the_oldest_setting_installs():
    bounds = {name: Version(bound) for name, bound in lower_bounds().items()}
    oldest = pins(ROOT / "constraints" / "tensorflow-oldest.txt")
    assert len(bounds) > 20
    assert bounds == {name: Version(pin) for name, pin in oldest.items()}


@pytest.mark.parametrize("path", CONSTRAINTS, ids=lambda path: path.stem)
def test_a_constraints_file_pins_its_tensorflow(path):
    version = path.stem.partition("-")[2]
    pinned = pins(path)
    assert {"tensorflow", "tensorflow-serving-api", "tf-keras", "numpy"} <= set(pinned)
    for name in ("tensorflow", "tensorflow-serving-api", "tf-keras"):
        wanted = "2.15" if version == "oldest" else version
        assert pinned[name].startswith(f"{wanted}."), name
