"""Slow NumPy twin of semrt/simulate/columns/bound.py: derivatives by differences, pixel by pixel."""

import numpy as np


def bound_of_first(y, x, peak, variance, height_at, window, known_to):
    """Least standard deviations of y and x of column 0: (2,).

    All columns and a plane are unknown within the window, (first row, end, first column, end); positions of the other
    columns are known to `known_to` px beforehand.  height_at: distances -> heights.
    """
    rows, columns = np.meshgrid(np.arange(*window[:2]), np.arange(*window[2:]), indexing="ij")
    truth = np.concatenate([y, x, peak, [0, 0, 0]])
    n = len(y)

    def model(unknown):
        image = unknown[-3] + unknown[-2] * (rows - y[0]) + unknown[-1] * (columns - x[0])
        for k in range(n):
            image = image + unknown[2 * n + k] * height_at(np.hypot(rows - unknown[k], columns - unknown[n + k]))
        return image.ravel()

    derivatives = []
    for k in range(len(truth)):
        step = np.zeros(len(truth))
        step[k] = 1e-4
        derivatives.append((model(truth + step) - model(truth - step)) / 2e-4)
    derivatives = np.array(derivatives)
    fisher = (derivatives / variance[window[0] : window[1], window[2] : window[3]].ravel()) @ derivatives.T
    for k in range(1, n):
        fisher[k, k] += 1 / known_to**2
        fisher[n + k, n + k] += 1 / known_to**2
    covariance = np.linalg.inv(fisher)
    return np.sqrt([covariance[0, 0], covariance[n, n]])
