"""Slow NumPy twins of csrc/kernels/tilt*.cpp: one pixel and one ray at a time, all in one matrix."""

import numpy as np


def matrix_of_tilt(angle, shape, n_detector, axis_offset):
    """(n_detector, nz, nx): each pixel is shared by two of a profile, and each of those by the rays that cover it."""
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    scale = cosine if abs(cosine) >= abs(sine) else sine  # of the detector against the profile
    s = np.arange(n_detector) - (n_detector - 1) / 2 - axis_offset
    matrix = np.zeros((n_detector, *shape))
    for z, x in np.ndindex(*shape):
        # Pixels of the profile lie where those of the middle row do, along x or along z.
        middle = (shape[1] - 1) / 2 if scale == cosine else (shape[0] - 1) / 2
        at = ((x - (shape[1] - 1) / 2) * cosine + (z - (shape[0] - 1) / 2) * sine) / scale + middle
        for pixel, share in ((np.floor(at), 1 - at % 1), (np.floor(at) + 1, at % 1)):
            centre, half = s / scale + middle, 0.5 / abs(scale)
            covered = np.minimum(centre + half, pixel + 0.5) - np.maximum(centre - half, pixel - 0.5)
            matrix[:, z, x] += share * np.maximum(covered, 0)
    return matrix


def tilt_matrix(angles, shape, n_detector, axis_offset=0.0):
    """(n·n_detector, nz·nx)."""
    tilts = [matrix_of_tilt(angle, shape, n_detector, axis_offset) for angle in angles]
    return np.stack(tilts).reshape(-1, shape[0] * shape[1])


def sirt(matrix, measured, start, iterations, relaxation, nonnegative):
    """One slice, flat."""
    by_ray = 1 / np.maximum(matrix.sum(axis=1), 1)
    by_pixel = relaxation / np.maximum(matrix.sum(axis=0), 1e-12)
    density = np.array(start, float)
    for _ in range(iterations):
        density += by_pixel * (matrix.T @ (by_ray * (measured - matrix @ density)))
        density = np.maximum(density, 0) if nonnegative else density
    return density


def gradient(density):
    """(2, nz, nx): forward differences along z and x, zero at the far border."""
    return np.stack([np.diff(density, axis=axis, append=np.take(density, [-1], axis)) for axis in (0, 1)])


def divergence(field):
    """Minus the adjoint of gradient."""
    dz, dx = field.copy()
    dz[-1], dx[:, -1] = 0, 0
    return np.diff(dz, axis=0, prepend=0) + np.diff(dx, axis=1, prepend=0)


def tv_objective(matrix, measured, density, weight):
    """What `tv` minimises."""
    residual = matrix @ density.ravel() - measured
    return 0.5 * residual @ residual + weight * np.linalg.norm(gradient(density), axis=0).sum()


def tv(matrix, measured, start, iterations, weight, nonnegative):
    """One slice, (nz, nx)."""
    length, crossed = matrix.sum(axis=1), matrix.sum(axis=0).reshape(start.shape)
    scale = 0.04 * max(1, length.max())
    by_gradient = max(1, crossed.max())
    sigma, tau = scale / np.maximum(length, 1), 1 / (scale * (crossed + by_gradient))
    density, ray, field = np.array(start, float), np.zeros(len(measured)), np.zeros((2, *start.shape))
    for i in range(iterations):
        stride = 1.8 if i + 1 < iterations else 1
        new_ray = (ray + sigma * (matrix @ density.ravel() - measured)) / (1 + sigma)
        new_field = field + scale * by_gradient / 8 * gradient(density)
        new_field *= weight / np.maximum(np.linalg.norm(new_field, axis=0), max(weight, 1e-30))
        uphill = (matrix.T @ (2 * new_ray - ray)).reshape(density.shape) - divergence(2 * new_field - field)
        descended = density - tau * uphill
        descended = np.maximum(descended, 0) if nonnegative else descended
        density = density + stride * (descended - density)
        ray, field = ray + stride * (new_ray - ray), field + stride * (new_field - field)
    return density
