"""Data sets: public ones in the form their authors give, and a simulator."""

from tfdistill.datasets.frappe import load_frappe
from tfdistill.datasets.movielens import (
    MovieLens,
    load_movielens,
    load_movielens_1m,
    load_movielens_100k,
)
from tfdistill.datasets.movielens_features import (
    movielens_requests,
    movielens_spec,
    movielens_split,
)
from tfdistill.datasets.synthetic import Oracle, Simulation, simulate
from tfdistill.datasets.synthetic_settings import SimulatorConfig

__all__ = [
    "MovieLens",
    "Oracle",
    "Simulation",
    "SimulatorConfig",
    "load_frappe",
    "load_movielens",
    "load_movielens_1m",
    "load_movielens_100k",
    "movielens_requests",
    "movielens_spec",
    "movielens_split",
    "simulate",
]
