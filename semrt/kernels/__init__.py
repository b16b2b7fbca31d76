"""The one door to the C++ core: defaults, dtypes and documentation; one module for each kernel."""

from semrt.kernels._threads import cpu_quota, opencv_threads, thread_count
from semrt.kernels.blend import add_tile, cut_tile, tile_window
from semrt.kernels.coil_lag import coil_lag
from semrt.kernels.column_fit import RefinedColumns, refine_columns
from semrt.kernels.fill import MaskStatistics, distance_to_sample, mask_statistics, natural_neighbour
from semrt.kernels.hough import Circles, find_circles
from semrt.kernels.kriging import Variogram, fit_variogram, krige
from semrt.kernels.layers import (
    DetectorResponse,
    LayerSmoothness,
    LayerTable,
    SolvedLayers,
    detector_response,
    likeliest_layers,
    smooth_layers,
    tikhonov_layers,
)
from semrt.kernels.rasterise import Rasterised, rasterise, record
from semrt.kernels.scan_order import nearest_order, serpentine_order
from semrt.kernels.tilt import back_project_tilts, project_tilts, reconstruct_sirt, reconstruct_tv

__all__ = [
    "Circles",
    "DetectorResponse",
    "LayerSmoothness",
    "LayerTable",
    "MaskStatistics",
    "Rasterised",
    "RefinedColumns",
    "SolvedLayers",
    "Variogram",
    "add_tile",
    "back_project_tilts",
    "coil_lag",
    "cpu_quota",
    "cut_tile",
    "detector_response",
    "distance_to_sample",
    "find_circles",
    "fit_variogram",
    "krige",
    "likeliest_layers",
    "mask_statistics",
    "natural_neighbour",
    "nearest_order",
    "opencv_threads",
    "project_tilts",
    "rasterise",
    "reconstruct_sirt",
    "reconstruct_tv",
    "record",
    "refine_columns",
    "serpentine_order",
    "smooth_layers",
    "thread_count",
    "tikhonov_layers",
    "tile_window",
]
