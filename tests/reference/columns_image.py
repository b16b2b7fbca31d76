"""Slow NumPy twin of semrt/simulate/columns/probe.py: every pixel, every column, one Gaussian after another."""

import math

import numpy as np


def profile(r, sigma, tail, tail_width, lorentzian):
    """Height at distance r of a column of peak 1; lorentzian: (width, height) of the Gaussians that stand for it."""
    value = (1 - tail) * math.exp(-0.5 * (r / sigma) ** 2)
    blurred = []
    for width, height in lorentzian:
        own = tail_width * sigma * width
        wide = math.sqrt(own**2 + sigma**2)
        blurred.append((wide, height * own**2 / wide**2))
    total = sum(height for _, height in blurred)
    return value + sum(tail * height / total * math.exp(-0.5 * (r / wide) ** 2) for wide, height in blurred)


def image(y, x, peak, shape, height_at):
    """Sum of all columns, (ny, nx); height_at: distance -> height."""
    drawn = np.zeros(shape)
    for row in range(shape[0]):
        for column in range(shape[1]):
            for at_y, at_x, height in zip(y, x, peak, strict=True):
                drawn[row, column] += height * height_at(math.hypot(row - at_y, column - at_x))
    return drawn
