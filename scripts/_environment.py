"""Finds a Python that fits and makes the environment of a setting, with pip alone.

Kept readable by any Python 3, so that a version that TensorFlow does not support looks
for another one, or gets a sentence and no traceback.
"""

import argparse
import collections
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VERSIONS = ("3.13", "3.12", "3.11", "3.10", "3.9")
LAST_PYTHON = {"oldest": "3.11", "2.15": "3.11"}  # that a TensorFlow has wheels for
LAST_PYTHON.update({"2.16": "3.12", "2.17": "3.12", "2.18": "3.12", "2.19": "3.12"})
OPTIONS = """Which setting it runs in, before its own options:
  --python 3.13       this Python, `newest` or a path; by default the running one if it
                      fits, else the newest that is found
  --keras 2|3         by default 2 with TensorFlow 2.15 up to Python 3.11, else 3
  --tensorflow 2.19   this TensorFlow, `newest`, or `oldest`: 2.15.1 with every other
                      package at its lower bound
Each setting has an environment of its own, such as .venv-3.13-keras3."""
RANKING = "tensorflow-ranking==0.5.5"
PROBE = (
    "import sys, venv, ensurepip; assert sys.maxsize > 2**32; "
    "print('.'.join(map(str, sys.version_info[:3])))"
)
# What pip says where other versions are there; without a network there are none.
NO_WHEEL = re.compile(r"the requirement tensorflow[<>=~].*\(from versions: [0-9]")

Python = collections.namedtuple("Python", "path version")
Setting = collections.namedtuple("Setting", "python keras tensorflow folder")


class Missing(SystemExit):
    """This machine has no Python, or no wheel of TensorFlow, for a setting."""


def choose(arguments):
    """Returns the setting that the arguments ask for, and the other arguments."""
    chosen, rest = parse(arguments)
    setting = setting_of(
        find_python(chosen.python, chosen.tensorflow), chosen.keras, chosen.tensorflow
    )
    print(
        f"{named(setting)}, in {setting.folder} ({setting.python.path})",
        file=sys.stderr,
        flush=True,
    )
    return setting, rest


def parse(arguments):
    """Returns the options that choose a setting, and the other arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--python")
    parser.add_argument("--keras", choices=("2", "3"))
    parser.add_argument("--tensorflow")
    return parser.parse_known_args(arguments)


def setting_of(python, keras=None, tensorflow=None):
    """Returns the setting of a Python, with defaults for what is None."""
    minor = python.version.rpartition(".")[0]
    old = minor in _versions("2.15")
    if keras is None:
        keras = "2" if (tensorflow or "2.15") in ("2.15", "oldest") and old else "3"
    default = "2.15" if keras == "2" and old else "newest"
    tensorflow = tensorflow or default
    if keras == "3" and tensorflow in ("2.15", "oldest"):
        raise Missing("TensorFlow 2.15 has Keras 2 alone; Keras 3 needs 2.16 or later.")
    folder = f".venv-{minor}-keras{keras}"
    if tensorflow != default:
        folder += f"-tf-{tensorflow}"
    return Setting(python, keras, tensorflow, folder)


def named(setting):
    """A setting in words."""
    return f"Python {setting.python.version}, TensorFlow {setting.tensorflow}, " + (
        f"Keras {setting.keras}"
    )


def find_python(asked=None, tensorflow=None):
    """Returns the first Python that fits: the running one, or another on the machine.

    Args:
        asked: A version such as `"3.13"`, `"newest"`, or the path of a Python; any if
            None.
        tensorflow: The TensorFlow that it is for, such as `"2.19"`; any if None.
    """
    versions = _versions(tensorflow)
    for one in versions if asked == "newest" else [asked]:
        for path in _candidates(one, versions):
            version = _version(path)
            minor = version.rpartition(".")[0]
            if minor in versions and (one in (None, minor) or os.path.sep in one):
                return Python(path, version)
    what = "tfdistill" if versions == VERSIONS else "TensorFlow " + tensorflow
    raise Missing(
        f"{what} needs a 64-bit Python 3.9 to {versions[0]} with its venv module, and "
        f"found none{_as(asked)} in the PATH, pyenv or uv: install one, such as "
        f"python{versions[0]} with python{versions[0]}-venv, or give its path with "
        "--python."
    )


def _as(asked):
    return "" if asked in (None, "newest") else " as " + asked


def _versions(tensorflow):
    """The Pythons that a TensorFlow has wheels for, the newest first."""
    return VERSIONS[VERSIONS.index(LAST_PYTHON.get(tensorflow, VERSIONS[0])) :]


def _candidates(asked, versions):
    """Yields paths of Pythons, those that cost nothing to find first."""
    if asked and os.path.sep in asked:
        yield os.path.abspath(asked)
        return
    yield getattr(sys, "_base_executable", None) or sys.executable
    wanted = (asked,) if asked else versions
    for version in wanted:
        yield shutil.which("python" + version)
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    for version in wanted:
        for folder in sorted(glob.glob(os.path.join(pyenv, "versions", version + "*"))):
            yield os.path.join(folder, "bin", "python")
    uv = shutil.which("uv")
    for version in wanted if uv else ():
        yield _output([uv, "python", "find", "--system", version])


def _version(path):
    """The version of a 64-bit Python that can make environments, else nothing."""
    return _output([path, "-c", PROBE]) if path else ""


def _output(command):
    try:
        text = subprocess.check_output(command, stderr=subprocess.DEVNULL, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return ""
    return text.decode().strip()


def environment(setting, extras=()):
    """Returns the Python of the setting's environment, made if it is not there yet.

    Args:
        setting: What `choose` returns.
        extras: Names of the optional dependencies to install too, such as `"dev"`.

    Returns:
        Path of the environment's Python.
    """
    folder = os.path.join(ROOT, setting.folder)
    where = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    python = os.path.join(folder, *where)
    stamp = os.path.join(folder, "-".join(("installed",) + tuple(extras)))
    fingerprint = _fingerprint(setting)
    if os.path.isfile(python) and _read(stamp) == fingerprint:
        return python
    print(
        f"Installing tfdistill into {setting.folder} (a minute or two, once)",
        flush=True,
    )
    other = os.path.isdir(folder) and _version(python) != setting.python.version
    venv = [setting.python.path, "-m", "venv", *(["--clear"] if other else []), folder]
    log = folder + ".log"
    steps = [("the environment", venv)]
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    pip += ["--progress-bar", "off"]
    for name, arguments in _packages(setting, extras):
        steps.append((name, pip + arguments))
    with open(log, "wb"):
        pass
    for name, command in steps:
        _step(name, command, log)
    os.replace(log, os.path.join(folder, "install.log"))
    handle, part = tempfile.mkstemp(dir=folder)
    with os.fdopen(handle, "w") as file:
        file.write(fingerprint)
    os.replace(part, stamp)
    return python


def run(setting, python, arguments):
    """Runs an environment's Python in its setting and returns its exit code."""
    return subprocess.call([python, *arguments], env=variables(setting))


def variables(setting):
    """The environment variables of a setting's processes."""
    found = dict(os.environ, TF_USE_LEGACY_KERAS=str(int(setting.keras == "2")))
    found.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return found


def command(name):
    """Runs one command of tfdistill with this script's arguments, and exits."""
    setting, arguments = choose(sys.argv[1:])
    if {"-h", "--help"} & set(arguments):
        print(OPTIONS + "\n", flush=True)
    python = environment(setting)
    sys.exit(run(setting, python, ["-m", "tfdistill", name, *arguments]))


def _packages(setting, extras):
    """Yields what pip is called with, by the name that is shown."""
    old, legacy = setting.tensorflow in ("2.15", "oldest"), setting.keras == "2"
    extras = list(extras) + (["tfrs"] if legacy else ["keras-rs"])
    extras += ["ranking"] if old else ["keras2"] if legacy else []
    target = ROOT + ("[{}]".format(",".join(extras)) if extras else "")
    tensorflow = "tensorflow" + _bounds(setting.tensorflow)
    arguments = ["-e", target, tensorflow]
    constraints = _constraints(setting)
    if os.path.isfile(constraints):
        arguments += ["-c", constraints]
    yield "TensorFlow", ["--no-deps", tensorflow]  # alone it says if there is no wheel
    yield "the other packages", arguments
    if not old:  # TF-Ranking asks for TensorFlow below 2.16, and works without
        yield "TF-Ranking", ["--no-deps", RANKING]


def _bounds(tensorflow):
    named = {"newest": ">=2.19,<2.22", "oldest": "~=2.15.1", "2.15": "~=2.15.1"}
    return named.get(tensorflow, f"~={tensorflow}.0")


def _constraints(setting):
    return os.path.join(ROOT, "constraints", f"tensorflow-{setting.tensorflow}.txt")


def _step(name, command, log):
    """Runs one command with its output in `log`, and shows that it goes on."""
    start = shown = time.time()
    live = sys.stdout.isatty()
    with open(log, "ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                time.sleep(0.2)
                if time.time() - shown >= (1 if live else 30):
                    shown = time.time()
                    _show(name, start, _last_lines(log, 1).strip()[:50], live)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode == 0:
        _show(name, start, "done", live, "\n")
        return
    if NO_WHEEL.search(_read(log)):
        raise Missing("There is no wheel of this TensorFlow for this Python.")
    sys.exit(
        f"{_last_lines(log, 15)}\n\ntfdistill could not install {name}; these are the "
        f"last lines of {log}. It needs the network, or an index configured for pip."
    )


def _show(name, start, what, live, end=""):
    line = f"  {name}: {what} ({time.time() - start:.0f} s)"
    print("\r" + line.ljust(79) if live else line, end=end if live else "\n")
    sys.stdout.flush()


def _last_lines(path, count):
    with open(path, "rb") as file:
        lines = file.read().decode("utf-8", "replace").splitlines()
    return "\n".join(lines[-count:])


def _fingerprint(setting):
    """Changes with the dependencies, the setting and the Python underneath."""
    digest = hashlib.sha256(repr(setting).encode())
    for path in (os.path.join(ROOT, "setup.py"), _constraints(setting)):
        digest.update(_read(path).encode())
    return digest.hexdigest()


def _read(path):
    if not os.path.isfile(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
