"""Packaging of tfdistill; tool settings live in pyproject.toml."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(
    r'__version__ = "([^"]+)"', (ROOT / "tfdistill" / "version.py").read_text()
).group(1)

CORE = [
    "tensorflow>=2.15,<2.16",
    "tensorflow-recommenders>=0.7.7",
    "tensorflow-ranking>=0.5.5",
    "tensorflow-serving-api>=2.15,<2.16",
    "grpcio-health-checking>=1.60",
    "numpy>=1.26,<2",
    "scipy>=1.11",
    "pandas>=2.0",
    "pyarrow>=15,<19",
    "matplotlib>=3.7",
    "pydantic>=2.8",
    "filelock>=3.13",
    "rich>=13",
    "typer>=0.12",
    "setuptools<81",
]
GBDT = ["lightgbm>=4.3,<5"]
BEAM = ["apache-beam>=2.60", "google-crc32c"]
DEV = [
    "pytest>=8",
    "pytest-xdist>=3.5",
    "hypothesis>=6.100",
    "ruff>=0.9,<0.18",
    "mypy>=1.11",
    "build>=1",
    *GBDT,
    *BEAM,
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
    python_requires=">=3.9,<3.12",
    install_requires=CORE,
    extras_require={"dev": DEV, "gbdt": GBDT, "beam": BEAM},
    entry_points={"console_scripts": ["tfdistill = tfdistill.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "License :: OSI Approved :: Apache Software License",
    ],
)
