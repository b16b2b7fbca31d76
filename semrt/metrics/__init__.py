"""How close what was inferred comes to the truth."""

from semrt.metrics.images import SSIM_WINDOW, blur_5x5, coverage_of_intervals, psnr, rmse, ssim
from semrt.metrics.labels import accuracy, iou, label_scores, recall, thickness_mae
from semrt.metrics.realism import noise_level, spectral_distance
from semrt.metrics.tomograms import SectorErrors, fourier_ring_correlation, object_rmse, sector_errors

__all__ = [
    "SSIM_WINDOW",
    "SectorErrors",
    "accuracy",
    "blur_5x5",
    "coverage_of_intervals",
    "fourier_ring_correlation",
    "iou",
    "label_scores",
    "noise_level",
    "object_rmse",
    "psnr",
    "recall",
    "rmse",
    "sector_errors",
    "spectral_distance",
    "ssim",
    "thickness_mae",
]
