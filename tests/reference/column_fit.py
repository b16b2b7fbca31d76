"""Slow NumPy twin of csrc/kernels/column_fit.cpp: all columns and one plane at once, by the whole Jacobian.

The kernel takes columns one after the other and lets the background bend; where the background is a plane, both have to
end in the same place, within what a plane of its own for each column costs.
"""

import numpy as np


def profile(dy, dx, width, tail):
    square = dy**2 + dx**2
    core, wide = np.exp(-square / (2 * width**2)), np.exp(-square / (8 * width**2))
    slope = (1 - tail) * core / width**2 + tail * wide / (4 * width**2)
    return (1 - tail) * core + tail * wide, dy * slope, dx * slope


def model_and_jacobian(shape, columns, plane, width, tail):
    """The image, (pixels,), and its derivatives by y, x and height of each column, then by the plane."""
    rows, lines = np.indices(shape).reshape(2, -1).astype(float)
    basis = [np.ones(rows.size), rows / shape[0], lines / shape[1]]
    image, jacobian = plane @ np.array(basis), []
    for y, x, height in columns:
        value, by_y, by_x = profile(rows - y, lines - x, width, tail)
        image = image + height * value
        jacobian += [height * by_y, height * by_x, value]
    return image, np.array(jacobian + basis)


def fit_columns(image, starts, width, tail, gain, read_noise, iterations=15):
    """Columns (n, 3) as (y, x, height), and their standard deviations (n, 3), by weighted Gauss-Newton steps."""
    counts = np.asarray(image, float).ravel()
    plane = np.array([np.quantile(counts, 0.2), 0.0, 0.0])
    columns = np.array([(y, x, image[round(y), round(x)] - plane[0]) for y, x in starts], float)
    for _ in range(iterations):
        expected, jacobian = model_and_jacobian(image.shape, columns, plane, width, tail)
        weight = 1 / (gain * np.maximum(expected, 0.25 * gain) + read_noise**2)
        fisher = (jacobian * weight) @ jacobian.T
        step = np.linalg.solve(fisher, (jacobian * weight) @ (counts - expected))
        columns[:, :2] += np.clip(step[:-3].reshape(-1, 3)[:, :2], -width / 2, width / 2)
        columns[:, 2] = np.maximum(columns[:, 2] + step[2:-3:3], 0.1 * columns[:, 2])
        plane = plane + step[-3:]
    deviations = np.sqrt(np.diag(np.linalg.inv(fisher)))
    return columns, deviations[:-3].reshape(-1, 3)
