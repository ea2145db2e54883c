"""Data: requests, batches, readers, splits, lists."""

from tfdistill.data.batching import RequestBatches
from tfdistill.data.implicit import ImplicitFeedback
from tfdistill.data.interactions import Histories, InteractionLog
from tfdistill.data.pair_features import FoldedPairs
from tfdistill.data.readers import read_frame, requests_from_frame
from tfdistill.data.recall_batches import RecallBatches
from tfdistill.data.requests import Requests, split_requests
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
from tfdistill.data.splits import (
    Split,
    fixed_test_split,
    global_temporal_split,
    per_user_temporal_split,
    random_split,
)
from tfdistill.data.states import Asked, States, asked_in_windows
from tfdistill.data.summary import DataSummary, FeatureShares, summarise
from tfdistill.data.teacher_lists import TeacherLists
from tfdistill.data.tfrecords import read_tfrecords, write_tfrecords
from tfdistill.data.windows import RequestParts, windows

__all__ = [
    "Asked",
    "DataSummary",
    "FeatureShares",
    "FoldedPairs",
    "Histories",
    "ImplicitFeedback",
    "InteractionLog",
    "RecallBatches",
    "RequestBatches",
    "RequestParts",
    "Requests",
    "Split",
    "States",
    "TeacherLists",
    "asked_in_windows",
    "discrepancy_weights",
    "draw_positions",
    "draw_rest",
    "fixed_test_split",
    "global_temporal_split",
    "per_user_temporal_split",
    "popularity_groups",
    "random_split",
    "rank_weights",
    "ranks_of",
    "read_frame",
    "read_tfrecords",
    "requests_from_frame",
    "split_requests",
    "summarise",
    "teacher_head",
    "windows",
    "with_perplexity",
    "write_tfrecords",
]
