"""The page about the losses runs from top to bottom and knows them all."""

from __future__ import annotations

import re
from pathlib import Path

from tfdistill import losses

PAGE = Path(__file__).parents[2] / "docs" / "losses.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONTRACTS = {"DistillationLoss", "RelevanceLoss", "RelevanceMap", "TemperedLoss"}


def test_the_page_runs_from_top_to_bottom():
    text = PAGE.read_text(encoding="utf-8")
    namespace = {"__name__": "__main__"}
    for block in BLOCK.finditer(text):
        blank = "\n" * text.count("\n", 0, block.start(1))
        exec(compile(blank + block[1], str(PAGE), "exec"), namespace)


def test_every_loss_and_map_has_a_row_and_an_example():
    text = PAGE.read_text(encoding="utf-8")
    examples = "\n".join(BLOCK.findall(text))
    for name in set(losses.__all__) - CONTRACTS:
        if isinstance(getattr(losses, name), type) and name != "Items":
            assert re.search(rf"^\| `{name}[(`]", text, re.MULTILINE), name
            assert f"losses.{name}(" in examples, name
