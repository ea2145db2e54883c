"""Who may import whom, and what no file may do; read from the source with `ast`."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = sorted((ROOT / "tfdistill").rglob("*.py"))
EVERY = sorted(
    path
    for folder in ("tfdistill", "scripts", "benchmarks", "tests", "docs")
    for path in (ROOT / folder).rglob("*.py")
)
# A part of the package may import these parts, or modules of parts, and itself.
FRONT = {
    *("data", "datasets", "export", "jobs", "report", "scorers", "scores"),
    *("serving", "study", "teachers", "trainers", "version", "zoo"),
}
MAY_IMPORT = {
    "_keras": set(),
    "_keras_fit": set(),
    "types": set(),
    "arrays": {"files"},
    "documents": set(),
    "files": set(),
    "identity": set(),
    "names": set(),
    "version": set(),
    "optimizers": set(),
    "pairs": {"identity"},
    "data": {"arrays", "documents", "files", "identity", "names", "pairs", "types"},
    "datasets": {"data", "files"},
    "losses": {"types"},
    "layers": {"types", "data.spec", "names"},
    "models": {"layers", "data.spec", "names"},
    "metrics": {"identity", "types", "losses.masking", "pairs"},
    "trainers": {"data", "files", "identity", "losses", "metrics", "types", "version"},
    "teachers": {
        *("arrays", "data", "documents", "files", "identity", "layers", "losses"),
        *("metrics", "names", "pairs", "trainers", "types"),
    },
    "scores": {
        *("data", "documents", "files", "identity", "metrics", "trainers.teachers"),
        *("pairs", "version"),
    },
    "export": {"data.spec", "documents", "files", "layers", "names"},
    "report": {"data.summary", "documents", "files", "metrics"},
    "serving": {"documents", "export", "files"},
    "study": {
        *("arrays", "data", "datasets", "export", "files", "identity", "layers"),
        *("losses", "metrics", "models", "names", "optimizers", "pairs", "report"),
        *("teachers", "trainers", "types"),
    },
    "scorers": {"data", "identity", "metrics", "pairs", "study.judge", "teachers"},
    "zoo": {
        *("data", "identity", "losses", "models", "optimizers", "pairs", "study"),
        "trainers",
    },
    "jobs": {
        *("data", "datasets", "documents", "export", "files", "identity", "metrics"),
        *("models", "pairs", "report", "scores", "study", "teachers", "trainers"),
        *("types", "version", "zoo"),
    },
    "commands": FRONT | {"files", "serving"},
    "cli": {"commands", "files", "version"},
    "__main__": {"cli"},
    "scripts": FRONT | {"cli"},
}
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


def test_parts_import_only_what_lies_below_them():
    wrong = []
    for path in [*LIBRARY, *(ROOT / "scripts").glob("*.py")]:
        where = path.relative_to(ROOT).with_suffix("").parts
        part = where[1] if where[0] == "tfdistill" else where[0]
        if part == "__init__":  # the root re-exports what it likes
            continue
        allowed = {part, "_keras", "_keras_fit", *MAY_IMPORT[part]}
        for name in imports(path):
            package, _, rest = f"{name}.".partition(".")
            if package == "tfdistill" and not any(
                rest.startswith(f"{other}.") for other in allowed
            ):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


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


def test_the_library_raises_errors_and_asserts_nothing():
    """Python drops assertions with -O."""
    assert not [
        f"{path}:{node.lineno}"
        for path in LIBRARY
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    ]
