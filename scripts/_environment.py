"""Makes the project's virtual environment; needs nothing but Python and pip.

Kept readable by any Python 3, so that a version that TensorFlow does not support gets a
sentence and no traceback.
"""

import hashlib
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SUPPORTED = ((3, 9), (3, 10), (3, 11))


def check_python():
    """Exits with one sentence if TensorFlow 2.15 has no wheel for this Python."""
    if sys.version_info[:2] in SUPPORTED and sys.maxsize > 2**32:
        return
    script = os.path.join("scripts", os.path.basename(sys.argv[0]))
    version = ".".join(str(number) for number in sys.version_info[:2])
    sys.exit(
        "tfdistill needs a 64-bit Python 3.9, 3.10 or 3.11, since TensorFlow 2.15 has "
        f"no wheel for {version}; call one of them by its name or path, for example: "
        f"python3.11 {script}"
    )


def environment(extra=""):
    """Returns the Python of `.venv`, made and filled if it is not there yet.

    Args:
        extra: Name of the optional dependencies to install too, such as `"dev"`.

    Returns:
        Path of the environment's Python.
    """
    check_python()
    folder = os.path.join(ROOT, ".venv")
    python = os.path.join(
        folder, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python"))
    )
    target = ROOT + (f"[{extra}]" if extra else "")
    stamp = os.path.join(folder, "installed-{}".format(extra or "core"))
    if _read(stamp) == _fingerprint():
        return python
    print("Installing tfdistill into .venv (a minute or two, once) ...", flush=True)
    _run(
        [sys.executable, "-m", "venv", folder],
        "could not make a virtual environment in .venv; install the venv module of "
        "this Python (on Debian and Ubuntu: apt-get install python3-venv)",
    )
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    _run(
        [*pip, "--progress-bar", "off", "-e", target],
        "could not install the dependencies with pip; see its last lines above. It "
        "needs the network, or an index configured for pip",
    )
    handle, part = tempfile.mkstemp(dir=folder)
    with os.fdopen(handle, "w") as file:
        file.write(_fingerprint())
    os.replace(part, stamp)
    return python


def run(python, arguments, cwd=None):
    """Runs the environment's Python and returns its exit code."""
    settings = dict(os.environ)
    settings.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return subprocess.call([python, *arguments], cwd=cwd, env=settings)


def _run(command, failure):
    if subprocess.call(command) != 0:
        sys.exit("tfdistill " + failure + ".")


def _fingerprint():
    """Changes with the dependencies and with the Python that makes the environment."""
    with open(os.path.join(ROOT, "setup.py"), "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    return f"{sys.version_info[0]}.{sys.version_info[1]} {digest}"


def _read(path):
    if not os.path.isfile(path):
        return ""
    with open(path) as file:
        return file.read()
