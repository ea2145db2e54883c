"""The overview of the benchmarks."""

import pathlib

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"


def test_every_script_that_measures_is_in_the_overview():
    overview = (FOLDER / "README.md").read_text()
    scripts = [
        path.name
        for path in FOLDER.glob("*.py")
        if 'if __name__ == "__main__"' in path.read_text()
        and not path.stem.endswith("_table")
    ]
    assert len(scripts) > 10
    assert not [name for name in scripts if f"`{name}`" not in overview]
