"""Export: verified SavedModels of students for a server, and what serving costs."""

from tfdistill.export.cascade import cascade_servable
from tfdistill.export.cost import Latency, ParameterCount, flops, latency, parameters
from tfdistill.export.examples import (
    candidate_examples,
    elwc,
    example_batch,
    tf_examples,
)
from tfdistill.export.index import ExactIndex, IndexReport, Ivf, IvfIndex
from tfdistill.export.packing import pack, packing
from tfdistill.export.publishing import (
    ExportReport,
    export_ranker,
    export_recall,
    publish,
)
from tfdistill.export.ranking import ranker_servable
from tfdistill.export.recall import recall_servable, reindexed
from tfdistill.export.servable import Servable
from tfdistill.export.server_files import batching_parameters, model_config
from tfdistill.export.stages import RankingStage

__all__ = [
    "ExactIndex",
    "ExportReport",
    "IndexReport",
    "Ivf",
    "IvfIndex",
    "Latency",
    "ParameterCount",
    "RankingStage",
    "Servable",
    "batching_parameters",
    "candidate_examples",
    "cascade_servable",
    "elwc",
    "example_batch",
    "export_ranker",
    "export_recall",
    "flops",
    "latency",
    "model_config",
    "pack",
    "packing",
    "parameters",
    "publish",
    "ranker_servable",
    "recall_servable",
    "reindexed",
    "tf_examples",
]
