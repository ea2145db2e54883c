"""Packaging of tfdistill; tool settings live in pyproject.toml."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(
    r'__version__ = "([^"]+)"', (ROOT / "tfdistill" / "version.py").read_text()
).group(1)

OLD, NEW = "python_version < '3.12'", "python_version >= '3.12'"
CORE = [
    "tensorflow>=2.15.1,<2.22",
    "tensorflow-serving-api>=2.15.1,<2.22",
    "grpcio-health-checking>=1.60",
    "numpy>=1.26",
    "scipy>=1.11.1",
    "pandas>=2.0",
    f"pyarrow>=15,<26; {OLD}",  # 26 refuses the NumPy 1.26 of TensorFlow 2.15
    f"pyarrow>=18; {NEW}",
    "matplotlib>=3.8",
    "pydantic>=2.8",
    "filelock>=3.13",
    "rich>=13",
    "typer>=0.12.5",
    f"setuptools>=65.5,<81; {OLD}",  # TensorBoard 2.15 imports pkg_resources
]
KERAS2 = ["tf-keras>=2.15,<2.22"]  # for TF_USE_LEGACY_KERAS=1 with TensorFlow 2.16+
KERAS_RS = [f"keras-rs>=0.4; {NEW}"]  # needs Keras 3
TFRS = ["tensorflow-recommenders>=0.7.7"]
RANKING = [
    f"tensorflow-ranking>=0.5.5; {OLD}",
    f"tensorflow<2.16; {OLD}",  # its own cap, which pip would find last of all
]
GBDT = ["lightgbm>=4.3,<5"]
BEAM = ["apache-beam>=2.60", "google-crc32c>=1.5"]
DEV = [
    "pytest>=8",
    "pytest-xdist>=3.5",
    "hypothesis>=6.100",
    "ruff>=0.9,<0.18",
    "mypy>=1.11",
    "build>=1",
    "tensorboard>=2.15",  # TensorFlow 2.21 does not bring it
    *GBDT,
    *(f"{package}; {OLD}" for package in BEAM),  # caps NumPy, protobuf, pyarrow
]

setup(
    name="tfdistill",
    version=VERSION,
    description="Distillation for recommenders: small students under big teachers, "
    "for recall, coarse and fine ranking, in TensorFlow.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["tfdistill", "tfdistill.*"]),
    package_data={"tfdistill": ["py.typed"]},
    python_requires=">=3.9,<3.14",
    install_requires=CORE,
    extras_require={
        "keras2": KERAS2,
        "keras-rs": KERAS_RS,
        "tfrs": TFRS,
        "ranking": RANKING,
        "gbdt": GBDT,
        "beam": BEAM,
        "dev": DEV,
    },
    entry_points={"console_scripts": ["tfdistill = tfdistill.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "License :: OSI Approved :: Apache Software License",
    ],
)
