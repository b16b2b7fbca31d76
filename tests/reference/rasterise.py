"""Slow twins of semrt.kernels.rasterise: sample by sample, in plain Python."""

from __future__ import annotations

import math

import numpy as np


def shares(at, n, footprint, sigma):
    """{pixel: share} of a sample along a line of n pixels; what falls beyond its ends is left out."""
    if footprint == "pixel":
        found = {math.floor(at + 0.5): 1.0}
    elif footprint == "bilinear":
        found = {i: 1 - abs(at - i) for i in range(-2, n + 2) if abs(at - i) < 1}
    else:
        first, last = math.floor(at - 4 * sigma + 0.5), math.floor(at + 4 * sigma + 0.5)

        def below(border):
            return math.erf((border - at) / (math.sqrt(2) * sigma))

        all_of_it = below(last + 0.5) - below(first - 0.5)
        found = {i: (below(i + 0.5) - below(i - 0.5)) / all_of_it for i in range(first, last + 1)}
    return {i: share for i, share in found.items() if 0 <= i < n}


def is_inside(position, shape):
    return all(math.isfinite(at) and 0 <= math.floor(at + 0.5) < n for at, n in zip(position, shape, strict=True))


def footprints(position, shape, footprint, sigma):
    """((y, x), share) of every pixel that a sample reaches."""
    along_y, along_x = (shares(at, n, footprint, sigma) for at, n in zip(position, shape, strict=True))
    return [((y, x), share_y * share_x) for y, share_y in along_y.items() for x, share_x in along_x.items()]


def rasterise(positions, shape, intensities, dwell_time, footprint="pixel", sigma=0.0):
    """(visited, dwell_time, intensity, outside)."""
    time, signal, outside = np.zeros(shape), np.zeros(shape), 0
    for position, intensity, dwell in zip(positions.tolist(), intensities, dwell_time, strict=True):
        if not is_inside(position, shape):
            outside += 1
            continue
        for pixel, share in footprints(position, shape, footprint, sigma):
            time[pixel] += dwell * share
            signal[pixel] += dwell * share * intensity
    return time > 0, time, np.divide(signal, time, out=np.zeros(shape), where=time > 0), outside


def record(image, positions, footprint="bilinear", sigma=0.0):
    """(n,) what is recorded, NaN outside."""
    recorded = []
    for position in positions.tolist():
        if not is_inside(position, image.shape):
            recorded.append(math.nan)
            continue
        found = footprints(position, image.shape, footprint, sigma)
        recorded.append(sum(share * image[pixel] for pixel, share in found) / sum(share for _, share in found))
    return np.array(recorded)
