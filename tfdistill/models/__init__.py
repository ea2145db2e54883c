"""Model zoo: architectures of teachers and students, built over a FeatureSpec."""

from tfdistill.models.architectures import (
    Architecture as Architecture,
)
from tfdistill.models.architectures import (
    CoarseTwoTower as CoarseTwoTower,
)
from tfdistill.models.architectures import (
    DcnV2 as DcnV2,
)
from tfdistill.models.architectures import (
    Dnn as Dnn,
)
from tfdistill.models.architectures import (
    TwoTower as TwoTower,
)
from tfdistill.models.joint import (
    JointNetwork as JointNetwork,
)
from tfdistill.models.joint import (
    Net as Net,
)
from tfdistill.models.joint import (
    joint_network as joint_network,
)

__all__ = [
    "Architecture",
    "CoarseTwoTower",
    "DcnV2",
    "Dnn",
    "JointNetwork",
    "Net",
    "TwoTower",
    "joint_network",
]
