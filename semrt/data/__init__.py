"""What flows through semrt: arrays with their calibration, frozen.

Axis order is (z, y, x). Positions are in pixels, with (0, 0) at the centre of the top-left pixel. Lengths are in nm.
"""

from semrt.data._checks import PixelSize
from semrt.data.atom_columns import AtomColumns
from semrt.data.label_volume import LabelVolume
from semrt.data.layers import EnergyStack, LayerMap
from semrt.data.micrograph import Micrograph
from semrt.data.on_disk import OnDisk
from semrt.data.sparse_scan import SparseScan
from semrt.data.tilt import TiltSeries, Tomogram
from semrt.data.volume import SparseVolume, Volume

__all__ = [
    "AtomColumns",
    "EnergyStack",
    "LabelVolume",
    "LayerMap",
    "Micrograph",
    "OnDisk",
    "PixelSize",
    "SparseScan",
    "SparseVolume",
    "TiltSeries",
    "Tomogram",
    "Volume",
]
