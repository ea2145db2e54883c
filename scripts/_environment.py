"""Finds a Python that fits and makes the environment of a setting, with pip alone.

Kept readable by any Python 3, so that a version that TensorFlow does not support looks
for another one, or gets a sentence and no traceback.
"""

import argparse
import collections
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VERSIONS = ("3.13", "3.12", "3.11", "3.10", "3.9")
OPTIONS = """Which environment it runs in, before its own options:
  --python 3.13       this Python; by default the running one if it fits, else the
                      newest that is found
  --keras 2|3         by default 2 with TensorFlow 2.15 up to Python 3.11, else 3
  --tensorflow 2.19   this TensorFlow; by default the newest that fits
Each choice has an environment of its own, such as .venv-3.13-keras3; none is .venv."""
RANKING = "tensorflow-ranking==0.5.5"
PROBE = (
    "import sys, venv, ensurepip; assert sys.maxsize > 2**32; "
    "print('.'.join(map(str, sys.version_info[:3])))"
)

Python = collections.namedtuple("Python", "path version")
Setting = collections.namedtuple("Setting", "python keras tensorflow folder")


def choose(arguments):
    """Returns the setting that the arguments ask for, and the other arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--python")
    parser.add_argument("--keras", choices=("2", "3"))
    parser.add_argument("--tensorflow")
    chosen, rest = parser.parse_known_args(arguments)
    python = find_python(chosen.python)
    minor = python.version.rpartition(".")[0]
    keras = chosen.keras or ("2" if _has_2_15(minor, chosen.tensorflow) else "3")
    if chosen.tensorflow:
        tensorflow = f"~={chosen.tensorflow}.0"
    elif keras == "2" and _has_2_15(minor, None):
        tensorflow = ">=2.15.1,<2.16"
    else:
        tensorflow = ">=2.19,<2.22"
    if keras == "3" and chosen.tensorflow == "2.15":
        sys.exit("TensorFlow 2.15 has Keras 2 alone; Keras 3 needs --tensorflow 2.19.")
    folder = ".venv"
    if chosen.python or chosen.keras or chosen.tensorflow:
        folder += f"-{minor}-keras{keras}"
    if chosen.tensorflow:
        folder += f"-tf{chosen.tensorflow}"
    print(
        f"Python {python.version} ({python.path}), TensorFlow {tensorflow}, "
        f"Keras {keras}, in {folder}",
        file=sys.stderr,
        flush=True,
    )
    return Setting(python, keras, tensorflow, folder), rest


def _has_2_15(python, tensorflow):
    """Whether TensorFlow 2.15, the last one with Keras 2, is there and wanted."""
    return tensorflow == "2.15" or (
        not tensorflow and VERSIONS.index(python) >= VERSIONS.index("3.11")
    )


def find_python(asked=None):
    """Returns the first Python that fits: the running one, or another on the machine.

    Args:
        asked: A version such as `"3.13"` or the path of a Python; any if None.
    """
    for path in _candidates(asked):
        version = _version(path)
        minor = version.rpartition(".")[0]
        if minor in VERSIONS and (asked in (None, minor) or os.path.sep in asked):
            return Python(path, version)
    sys.exit(
        "tfdistill needs a 64-bit Python 3.9 to 3.13 with its venv module, and found "
        f"none{' as ' + asked if asked else ''} in the PATH, pyenv or uv: install "
        "one, such as python3.13 with python3.13-venv, or give its path with --python."
    )


def _candidates(asked):
    """Yields paths of Pythons, those that cost nothing to find first."""
    if asked and os.path.sep in asked:
        yield os.path.abspath(asked)
        return
    yield getattr(sys, "_base_executable", None) or sys.executable
    wanted = (asked,) if asked else VERSIONS
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
    variables = dict(os.environ, TF_USE_LEGACY_KERAS=str(int(setting.keras == "2")))
    variables.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return subprocess.call([python, *arguments], env=variables)


def command(name):
    """Runs one command of tfdistill with this script's arguments, and exits."""
    setting, arguments = choose(sys.argv[1:])
    if {"-h", "--help"} & set(arguments):
        print(OPTIONS + "\n", flush=True)
    python = environment(setting)
    sys.exit(run(setting, python, ["-m", "tfdistill", name, *arguments]))


def _packages(setting, extras):
    """Yields what pip is called with, by the name that is shown."""
    legacy = setting.keras == "2"
    old = "<2.16" in setting.tensorflow or setting.tensorflow.startswith("~=2.15")
    extras = list(extras) + (["tfrs"] if legacy else [])
    extras += ["ranking"] if old else ["keras2"] if legacy else []
    target = ROOT + ("[{}]".format(",".join(extras)) if extras else "")
    arguments = ["-e", target, "tensorflow" + setting.tensorflow]
    constraints = _constraints(setting)
    if os.path.isfile(constraints):
        arguments += ["-c", constraints]
    yield "TensorFlow and the other packages", arguments
    if not old:  # TF-Ranking asks for TensorFlow below 2.16, and works without
        yield "TF-Ranking", ["--no-deps", RANKING]


def _constraints(setting):
    version = setting.tensorflow[2:].rpartition(".")[0]
    return os.path.join(ROOT, "constraints", f"tensorflow-{version}.txt")


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
    with open(path, encoding="utf-8") as file:
        return file.read()
