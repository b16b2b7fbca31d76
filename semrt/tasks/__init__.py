"""What each model means: the step before its network and the step after, or a solver that needs none.

To add a task: a module with its class, and its line in TASKS.
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

from semrt.errors import InvalidOption
from semrt.tasks.base import (
    NetworkTask,
    Progress,
    Sliced,
    Solver,
    devices_of,
    measure_of,
    outputs_of,
    package_of,
    result_of,
    solvers_of,
)

__all__ = [
    "TASKS",
    "NetworkTask",
    "Progress",
    "Sliced",
    "Solver",
    "devices_of",
    "find_task",
    "measure_of",
    "outputs_of",
    "package_of",
    "result_of",
    "solvers_of",
]

TASKS = {
    "column-peaks": "semrt.tasks.column_peaks:ColumnPeaks",
    "columns": "semrt.tasks.columns:Columns",
    "dip": "semrt.tasks.dip:DeepImagePrior",
    "infill": "semrt.tasks.infill:Infill",
    "infill-adversarial": "semrt.tasks.realistic_infill:RealisticInfill",
    "infill-published": "semrt.tasks.published_infill:PublishedInfill",
    "kriging": "semrt.tasks.kriging:Kriging",
    "layers": "semrt.tasks.layer_solvers:LayersByMarkovField",
    "layers-ml": "semrt.tasks.layer_solvers:LayersByLikelihood",
    "layers-network": "semrt.tasks.layer_network:LayersByNetwork",
    "layers-thickness": "semrt.tasks.published_layers:LayersByThickness",
    "layers-tikhonov": "semrt.tasks.layer_solvers:LayersByTikhonov",
    "layers-voxels": "semrt.tasks.published_layers:LayersByVoxels",
    "natural-neighbours": "semrt.tasks.natural_neighbours:NaturalNeighbours",
    "wedge": "semrt.tasks.wedge_solvers:Wedge",
    "wedge-network": "semrt.tasks.wedge:WedgeByNetwork",
    "wedge-sirt": "semrt.tasks.wedge_solvers:WedgeBySimultaneousIterations",
    "wedge-tv": "semrt.tasks.wedge_solvers:WedgeByTotalVariation",
    "wedge-wbp": "semrt.tasks.wedge_solvers:WedgeByWeightedBackProjection",
    "wiener": "semrt.tasks.wiener:Wiener",
}


def find_task(name: str) -> NetworkTask | Solver:
    """The task called `name`.  Raises InvalidOption."""
    if name not in TASKS:
        raise InvalidOption.unknown("task", name, TASKS)
    module, attribute = TASKS[name].split(":")
    return cast("NetworkTask | Solver", getattr(import_module(module), attribute)())
