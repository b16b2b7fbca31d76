"""Slow twins of semrt_export.adaptive_losses and semrt_export.hard_examples: one loss after the other, in the order of
the published programs (github.com/Jeffrey-Ede/ALRC, github.com/Jeffrey-Ede/partial-STEM)."""

from __future__ import annotations

import math

import numpy as np


def limited_losses(losses, deviations=3, decay=0.999, mu1=25.0, mu2=30.0**2):
    """Each loss as limited, with the two running moments after it: (n, 3)."""
    rows = []
    for given in losses:
        loss = given
        sigma = math.sqrt(mu2 - mu1**2 + 1e-8)
        highest = mu1 + deviations * sigma
        if not loss < highest:
            loss = loss / (loss / highest)
        mu1 = decay * mu1 + (1 - decay) * loss
        mu2 = decay * mu2 + (1 - decay) * loss**2
        rows.append((loss, mu1, mu2))
    return np.array(rows)


def weighted_squares(squares, decay=0.999, start=3.0):
    """Images of squared errors, (n, ny, nx), weighted one by one by their running mean, blurred and mirrored."""
    running = np.full(squares.shape[1:], start)
    ny, nx = running.shape
    taps = {(dy, dx): math.exp(-(dy**2 + dx**2) / (2 * 1.5**2)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
    weighted = []
    for square in squares:
        running = decay * running + (1 - decay) * square
        weights = np.zeros((ny, nx))
        for y, x in np.ndindex(ny, nx):
            for (dy, dx), tap in taps.items():
                at_y, at_x = (abs(i) if i < n else 2 * n - 2 - i for i, n in ((y + dy, ny), (x + dx, nx)))
                weights[y, x] += tap / sum(taps.values()) * running[at_y, at_x]
        weighted.append(square * weights / weights.mean())
    return np.array(weighted)


def thresholds(losses, from_kept, share=0.2):
    """The threshold after each loss, and whether its sample was kept; from_kept: whether it came from those."""
    mean, mean_square, threshold, tracker = 1.5, 4.0, 0.0, share
    rows = []
    for loss, again in zip(losses, from_kept, strict=True):
        mean = 0.99 * mean + 0.01 * loss
        mean_square = 0.99 * mean_square + 0.01 * loss**2
        deviation = math.sqrt(mean_square - mean**2)
        keeps = not again and loss > threshold
        tracker = 0.99 * tracker + (0.01 if keeps else 0.0)
        step = mean - 5 * deviation if tracker < share else mean + 5 * deviation
        threshold = 0.99 * threshold + 0.01 * step
        rows.append((threshold, keeps))
    return rows
