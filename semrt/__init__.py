"""Trained networks on electron-microscope data, at the instrument.

    import semrt

    scan = semrt.read("scan.tif")
    semrt.write("micrograph.tif", semrt.infer("infill", scan))

Names load on first use: `import semrt` itself loads not even NumPy.
"""

from importlib import import_module

from semrt._version import __version__

TYPE_CHECKING = False  # true for type checkers, as in `typing`, which would take longer to load than all the rest
if TYPE_CHECKING:
    from semrt.api import infer
    from semrt.data import (
        AtomColumns,
        EnergyStack,
        LayerMap,
        Micrograph,
        SparseScan,
        SparseVolume,
        TiltSeries,
        Tomogram,
        Volume,
    )
    from semrt.engine import open_session
    from semrt.io import read, write
    from semrt.kernels.column_fit import refine_columns
    from semrt.kernels.hough import find_circles
    from semrt.live import LiveInfill

__all__ = [
    "AtomColumns",
    "EnergyStack",
    "LayerMap",
    "LiveInfill",
    "Micrograph",
    "SparseScan",
    "SparseVolume",
    "TiltSeries",
    "Tomogram",
    "Volume",
    "__version__",
    "find_circles",
    "infer",
    "open_session",
    "read",
    "refine_columns",
    "write",
]

_HOME = {
    "AtomColumns": "semrt.data",
    "EnergyStack": "semrt.data",
    "LayerMap": "semrt.data",
    "LiveInfill": "semrt.live",
    "Micrograph": "semrt.data",
    "SparseScan": "semrt.data",
    "SparseVolume": "semrt.data",
    "TiltSeries": "semrt.data",
    "Tomogram": "semrt.data",
    "Volume": "semrt.data",
    "find_circles": "semrt.kernels.hough",
    "infer": "semrt.api",
    "open_session": "semrt.engine",
    "read": "semrt.io",
    "refine_columns": "semrt.kernels.column_fit",
    "write": "semrt.io",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'semrt' has no attribute {name!r}")
    globals()[name] = attribute = getattr(import_module(_HOME[name]), name)
    return attribute


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
