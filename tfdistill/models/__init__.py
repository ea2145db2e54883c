"""Model zoo: architectures of teachers and students, built over a FeatureSpec."""

from tfdistill.models.architectures import (
    Architecture,
    CoarseTwoTower,
    DcnV2,
    Dnn,
    TwoTower,
)
from tfdistill.models.ensemble import gated_ensemble
from tfdistill.models.inputs import NetInputs
from tfdistill.models.joint import JointNetwork, Net, joint_network
from tfdistill.models.sharing import Representation

__all__ = [
    "Architecture",
    "CoarseTwoTower",
    "DcnV2",
    "Dnn",
    "JointNetwork",
    "Net",
    "NetInputs",
    "Representation",
    "TwoTower",
    "gated_ensemble",
    "joint_network",
]
