"""The one door to the C++ core: defaults, dtypes and documentation; one module for each kernel."""

from semrt.kernels._threads import thread_count
from semrt.kernels.blend import add_tile, cut_tile, tile_window
from semrt.kernels.coil_lag import coil_lag
from semrt.kernels.column_fit import RefinedColumns, refine_columns
from semrt.kernels.fill import MaskStatistics, distance_to_sample, mask_statistics, natural_neighbour
from semrt.kernels.hough import Circles, find_circles
from semrt.kernels.kriging import Variogram, fit_variogram, krige
from semrt.kernels.rasterise import Rasterised, rasterise, record
from semrt.kernels.scan_order import nearest_order, serpentine_order

__all__ = [
    "Circles",
    "MaskStatistics",
    "Rasterised",
    "RefinedColumns",
    "Variogram",
    "add_tile",
    "coil_lag",
    "cut_tile",
    "distance_to_sample",
    "find_circles",
    "fit_variogram",
    "krige",
    "mask_statistics",
    "natural_neighbour",
    "nearest_order",
    "rasterise",
    "record",
    "refine_columns",
    "serpentine_order",
    "thread_count",
    "tile_window",
]
