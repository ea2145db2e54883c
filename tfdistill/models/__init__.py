"""Model zoo: architectures of teachers and students, built over a FeatureSpec."""

from tfdistill.models.architectures import (
    Architecture,
    CoarseTwoTower,
    DcnV2,
    Dnn,
    TwoTower,
    as_float32,
    deep_part,
    kernel_l2,
    ranker_outputs,
    sum_of_terms,
)
from tfdistill.models.ensemble import gated_ensemble
from tfdistill.models.factorization import DeepFm, Fm, Linear
from tfdistill.models.inputs import NetInputs
from tfdistill.models.interaction import AutoInt, FiBiNet, SeNetDnn, XDeepFm
from tfdistill.models.joint import JointNetwork, Net, Task, joint_network
from tfdistill.models.multi_task import Mmoe
from tfdistill.models.sequential import BehaviourTransformer, Din, SequenceTower
from tfdistill.models.sharing import Representation

__all__ = [
    "Architecture",
    "AutoInt",
    "BehaviourTransformer",
    "CoarseTwoTower",
    "DcnV2",
    "DeepFm",
    "Din",
    "Dnn",
    "FiBiNet",
    "Fm",
    "JointNetwork",
    "Linear",
    "Mmoe",
    "Net",
    "NetInputs",
    "Representation",
    "SeNetDnn",
    "SequenceTower",
    "Task",
    "TwoTower",
    "XDeepFm",
    "as_float32",
    "deep_part",
    "gated_ensemble",
    "joint_network",
    "kernel_l2",
    "ranker_outputs",
    "sum_of_terms",
]
