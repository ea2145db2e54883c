"""Who may import whom, and what no file may do; read from the source with `ast`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = sorted((ROOT / "tfdistill").rglob("*.py"))
EVERY = sorted(
    path
    for folder in ("tfdistill", "scripts", "benchmarks", "tests", "docs")
    for path in (ROOT / folder).rglob("*.py")
)
# A part of the package may import these parts above it, or modules of them, and itself.
MAY_IMPORT = {
    "types": set(),
    "documents": set(),
    "files": set(),
    "identity": set(),
    "names": set(),
    "version": set(),
    "optimizers": set(),
    "arrays": {"files"},
    "pairs": {"identity"},
    "tables": {"documents", "names"},
    "spec": {"documents", "files", "names", "tables"},
    "losses": set(),
    "layers": {"names", "spec"},
    "models": {"layers", "names", "spec"},
    "metrics": {"identity", "pairs"},
    "data": {"documents", "files", "identity", "pairs", "spec"},
    "datasets": {"data", "files", "spec"},
    "trainers": {"files", "identity", "losses", "types", "version"},
    "teachers": {
        *("arrays", "data", "documents", "files", "identity", "layers", "losses"),
        *("metrics", "names", "pairs", "spec", "trainers", "types"),
    },
    "scores": {
        *("data", "documents", "files", "identity", "metrics", "pairs"),
        *("trainers.teachers", "version"),
    },
    "export": {"documents", "files", "layers", "names", "spec"},
    "report": {"data.summary", "documents", "files", "metrics"},
    "serving": {"documents", "export", "files"},
    "study": {
        *("arrays", "data", "datasets", "export", "files", "identity", "layers"),
        *("losses", "metrics", "models", "names", "optimizers", "pairs", "report"),
        *("spec", "trainers", "types"),
    },
    "scorers": {
        "data",
        "identity",
        "metrics",
        "models",
        "pairs",
        "spec",
        "study.evaluators",
        "study.problem",
        "teachers",
    },
    "zoo": {
        *("data", "identity", "losses", "models", "optimizers", "spec", "study"),
        "trainers",
    },
    "jobs": {
        *("data", "datasets", "documents", "export", "files", "identity", "metrics"),
        *("models", "report", "scorers", "scores", "spec", "study", "teachers"),
        *("trainers", "types", "version", "zoo"),
    },
    "commands": {"datasets", "files", "jobs", "serving", "spec", "study"},
    "cli": {"commands", "version"},
    "__main__": {"cli"},
}
KERAS = {"_keras", "_keras_fit"}  # what every part may import
HOSTS = {
    "tensorflow_ranking": {"losses/adapters.py"},
    "tensorflow_recommenders": set(),
}


def imports(path: Path) -> set[str]:
    """Dotted names of everything that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} is a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def of_parts() -> dict[str, set[str]]:
    """What each part imports of the others, as dotted names below the package."""
    found: dict[str, set[str]] = {part: set() for part in MAY_IMPORT}
    for path in LIBRARY:
        part = path.relative_to(ROOT / "tfdistill").with_suffix("").parts[0]
        if part == "__init__":  # the root re-exports what it likes
            continue
        for name in imports(path):
            package, _, rest = f"{name}.".partition(".")
            if package == "tfdistill" and rest.split(".")[0] not in {part, *KERAS}:
                found.setdefault(part, set()).add(rest)
    return found


def test_parts_import_only_what_lies_below_them():
    found = of_parts()
    assert not {part: found[part] for part in KERAS if part in found}
    order = list(MAY_IMPORT)
    for number, (part, allowed) in enumerate(MAY_IMPORT.items()):
        heads = tuple(f"{other}." for other in allowed)
        assert not [n for n in found[part] if not n.startswith(heads)], part
        unused = [h for h in heads if not any(n.startswith(h) for n in found[part])]
        assert not unused, f"{part} has permissions that nothing uses"
        above = {other.split(".")[0] for other in allowed} - set(order[:number])
        assert not above, f"{part} may import what lies above it: a circle"


def test_scripts_import_nothing_of_the_package_before_it_is_installed():
    for path in (ROOT / "scripts").glob("*.py"):
        assert not [name for name in imports(path) if name.startswith("tfdistill")]


@pytest.mark.parametrize("banned", ["keras", "tf_keras"])
def test_no_second_keras_is_imported(banned):
    """Their classes are not those of `tf.keras`."""
    assert not [p for p in EVERY if any(n.split(".")[0] == banned for n in imports(p))]


def test_two_modules_ask_which_keras_there_is():
    asking = re.compile(r"keras\.__version__|keras\.version|_KERAS3")
    found = [p for p in LIBRARY if asking.search(p.read_text(encoding="utf-8"))]
    assert [path.name for path in found] == ["_keras.py", "_keras_fit.py"]


@pytest.mark.parametrize("host", HOSTS)
def test_host_libraries_are_imported_in_a_handful_of_files(host):
    found = {
        path.relative_to(ROOT / "tfdistill").as_posix()
        for path in LIBRARY
        if any(name.split(".")[0] == host for name in imports(path))
    }
    assert found == HOSTS[host]


def test_no_file_is_longer_than_400_lines():
    assert not [p for p in EVERY if len(p.read_text("utf-8").splitlines()) > 400]


def test_files_of_tests_have_one_pattern_of_names():
    made = (ROOT / "tests").rglob("*.py")
    files = [p for p in made if "def test_" in p.read_text(encoding="utf-8")]
    assert not [p for p in files if not p.name.endswith("_test.py")]
    assert len({path.name for path in files}) == len(files)


def where(wrong: Callable[[ast.AST], object]) -> list[str]:
    """The places in the library whose syntax is wrong."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in LIBRARY}
    return [
        f"{path}:{node.lineno}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if wrong(node)
    ]


def test_the_library_raises_errors_and_asserts_nothing():
    """Python drops assertions with -O."""
    assert not where(lambda node: isinstance(node, ast.Assert))


def test_errors_name_a_value_in_one_way():
    """What must be, `got` what; never `received`."""
    other = re.compile(r"\breceived\b|\bReceived:")
    assert not where(
        lambda node: isinstance(node, ast.Constant) and other.search(str(node.value))
    )
