"""Slow NumPy twin of csrc/kernels/kriging.cpp: the same neighbours, the textbook's equations, one pixel at a time."""

import numpy as np

NEAR, FAR, GRAIN, BLOCK = 16, 24, 0.6, 4
PRIOR_DEGREES_OF_FREEDOM, LEAST_NOISE = 12, 3e-4


def covariance(variogram, distance):
    return variogram.sill * np.exp(-((distance / variogram.range) ** variogram.exponent))


def nearest(samples, y, x, k):
    """Indices of the k samples nearest to (y, x), ties to the lower index."""
    distance2 = ((samples - (y, x)) ** 2).sum(1)
    return np.lexsort((np.arange(len(samples)), distance2))[:k]


def typical_gap(samples, shape, probes=48):
    centres = [(np.arange(probes) + 0.5) * side / probes for side in shape]
    distances = [np.sqrt(((samples - (y, x)) ** 2).sum(1).min()) for y in centres[0] for x in centres[1]]
    return max(2.0, 4 * np.mean(distances))


def thinned(samples, cell):
    """The sample nearest to the centre of each cell, cells in scan-line order."""
    best = {}
    for sample in samples:
        key = tuple((sample // cell).astype(int))
        distance2 = ((sample - (np.array(key) + 0.5) * cell) ** 2).sum()
        if key not in best or distance2 < best[key][0]:
            best[key] = (distance2, sample)
    return np.array([best[key][1] for key in sorted(best)])


def neighbourhood(samples, far_samples, y, x):
    near = samples[nearest(samples, y, x, NEAR)]
    taken = {tuple(sample) for sample in near}
    candidates = (far_samples[i] for i in nearest(far_samples, y, x, NEAR + FAR))
    return np.array([*near, *[sample for sample in candidates if tuple(sample) not in taken][:FAR]])


def ordinary_kriging(positions, values, noise, variogram, targets):
    """Estimate and variance at targets, (m, 2), by the bordered system of ordinary kriging."""
    n = len(values)
    between = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    system = np.ones((n + 1, n + 1))
    system[:n, :n] = covariance(variogram, between) + np.diag(np.maximum(noise, LEAST_NOISE * variogram.sill))
    system[n, n] = 0
    sides = np.ones((n + 1, len(targets)))
    sides[:n] = covariance(variogram, np.linalg.norm(positions[:, None] - targets[None], axis=-1))
    weights = np.linalg.solve(system, sides)
    estimate = weights[:n].T @ values
    variance = variogram.sill - (weights * sides).sum(0)

    inverse = np.linalg.inv(system[:n, :n])
    mean = (inverse @ values).sum() / inverse.sum()
    squares = (values - mean) @ inverse @ (values - mean)
    scale = (squares + PRIOR_DEGREES_OF_FREEDOM) / (n - 1 + PRIOR_DEGREES_OF_FREEDOM)
    return estimate, scale * np.maximum(variance, 0)


def krige(intensity, visited, variogram, exposure=None):
    ny, nx = intensity.shape
    samples = np.argwhere(visited).astype(float)
    gap = typical_gap(samples, intensity.shape)
    far_samples = thinned(samples, np.float32(GRAIN) * np.float32(gap))
    estimate, variance = np.zeros((ny, nx)), np.zeros((ny, nx))
    for y0 in range(0, ny, BLOCK):
        for x0 in range(0, nx, BLOCK):
            y1, x1 = min(ny, y0 + BLOCK), min(nx, x0 + BLOCK)
            hood = neighbourhood(samples, far_samples, (y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2)
            at = tuple(hood.astype(int).T)
            noise = np.full(len(hood), variogram.nugget) / (1 if exposure is None else exposure[at])
            targets = np.stack(np.meshgrid(np.arange(y0, y1), np.arange(x0, x1), indexing="ij"), -1).reshape(-1, 2)
            result = ordinary_kriging(hood, intensity[at].astype(float), noise, variogram, targets)
            for plane, values in zip((estimate, variance), result, strict=True):
                plane[y0:y1, x0:x1] = values.reshape(y1 - y0, x1 - x0)
    return estimate, variance
