"""Data: the feature spec, requests, batches, readers, public sets, a simulator."""

from tfdistill.data.batching import RequestBatches
from tfdistill.data.frappe import load_frappe
from tfdistill.data.implicit import ImplicitFeedback
from tfdistill.data.implicit_sets import (
    load_citeulike,
    load_gowalla,
    load_movielens_positives,
    load_online_retail,
)
from tfdistill.data.interactions import Histories, InteractionLog
from tfdistill.data.kuairec import load_kuairec
from tfdistill.data.movielens import (
    MovieLens,
    load_movielens,
    load_movielens_1m,
    load_movielens_100k,
)
from tfdistill.data.movielens_features import (
    movielens_requests,
    movielens_spec,
    movielens_split,
)
from tfdistill.data.pair_set import PairSet
from tfdistill.data.readers import read_frame, requests_from_frame, split_requests
from tfdistill.data.recall_batches import RecallBatches
from tfdistill.data.requests import Requests
from tfdistill.data.samplers import (
    discrepancy_weights,
    draw_positions,
    draw_rest,
    popularity_groups,
    rank_weights,
    ranks_of,
    teacher_head,
    with_perplexity,
)
from tfdistill.data.spec import Feature, FeatureSpec, Table
from tfdistill.data.splits import (
    Split,
    fixed_test_split,
    global_temporal_split,
    per_user_temporal_split,
    random_split,
)
from tfdistill.data.summary import DataSummary, FeatureShares, summarise
from tfdistill.data.synthetic import Oracle, Simulation, simulate
from tfdistill.data.synthetic_settings import SimulatorConfig
from tfdistill.data.teacher_lists import TeacherLists
from tfdistill.data.tfrecords import read_tfrecords, write_tfrecords
from tfdistill.data.windows import RequestParts, windows

__all__ = [
    "DataSummary",
    "Feature",
    "FeatureShares",
    "FeatureSpec",
    "Histories",
    "ImplicitFeedback",
    "InteractionLog",
    "MovieLens",
    "Oracle",
    "PairSet",
    "RecallBatches",
    "RequestBatches",
    "RequestParts",
    "Requests",
    "Simulation",
    "SimulatorConfig",
    "Split",
    "Table",
    "TeacherLists",
    "discrepancy_weights",
    "draw_positions",
    "draw_rest",
    "fixed_test_split",
    "global_temporal_split",
    "load_citeulike",
    "load_frappe",
    "load_gowalla",
    "load_kuairec",
    "load_movielens",
    "load_movielens_1m",
    "load_movielens_100k",
    "load_movielens_positives",
    "load_online_retail",
    "movielens_requests",
    "movielens_spec",
    "movielens_split",
    "per_user_temporal_split",
    "popularity_groups",
    "random_split",
    "rank_weights",
    "ranks_of",
    "read_frame",
    "read_tfrecords",
    "requests_from_frame",
    "simulate",
    "split_requests",
    "summarise",
    "teacher_head",
    "windows",
    "with_perplexity",
    "write_tfrecords",
]
