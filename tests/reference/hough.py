"""Slow NumPy twin of csrc/kernels/hough.cpp and disk_cells.cpp: one edge, one pixel, one circle at a time."""

import numpy as np

STEEPNESS = 1.6


def gradient(probability):
    """Scharr's, with the border repeated outwards."""
    padded = np.pad(probability.astype(float), 1, mode="edge")
    above, here, below = padded[:-2], padded[1:-1], padded[2:]
    left, middle, right = (slice(None, -2), slice(1, -1), slice(2, None))
    gy = 3 * (below[:, left] - above[:, left] + below[:, right] - above[:, right])
    gx = 3 * (above[:, right] - above[:, left] + below[:, right] - below[:, left])
    gy += 10 * (below[:, middle] - above[:, middle])
    gx += 10 * (here[:, right] - here[:, left])
    return gy / 32, gx / 32


def votes_of(probability, r_min, r_max):
    """(ny, nx): each edge votes at whole pixels along the steeper axis of its ray, shared by two across it."""
    ny, nx = probability.shape
    margin = int(r_max) + 3
    votes = np.zeros((ny + 2 * margin, nx + 2 * margin))
    gy, gx = gradient(probability)
    length = np.hypot(gy, gx)
    for y, x in np.argwhere(length >= min(0.1, 0.5 / r_max)):
        up = np.array([gy[y, x], gx[y, x]])
        axis = int(abs(up[0]) <= abs(up[1]))
        direction = up / abs(up[axis])
        cosine = abs(up[axis]) / length[y, x]
        for step in range(int(r_min * cosine + 1), int(r_max * cosine) + 1):
            at = np.array([y, x]) + margin + step * direction
            first = np.floor(at + 1e-12).astype(int)  # whole along the axis, but for rounding
            first[axis] = np.rint(at[axis])
            share = at[1 - axis] - first[1 - axis]
            second = first.copy()
            second[1 - axis] += 1
            votes[tuple(first)] += length[y, x] * (1 - share)
            votes[tuple(second)] += length[y, x] * share
    return votes, margin


def maxima(gathered, least):
    """Pixels no smaller than the neighbours before them and larger than those after them."""
    padded = np.pad(gathered, 1, constant_values=-1)
    for y, x in np.argwhere(gathered >= least):
        window = padded[y : y + 3, x : x + 3].ravel()
        if (window[4] >= window[:4]).all() and (window[4] > window[5:]).all():
            yield gathered[y, x], y, x


def centred(probability, circles, k, r_max):
    """The centroid of circle k's Laguerre cell, no further than r_max from it, and the radius of its area."""
    ny, nx = probability.shape
    y, x, radius = circles[k][:3]
    level = max(probability[min(int(y + 0.5), ny - 1), min(int(x + 0.5), nx - 1)], 0.1)
    share = np.clip(STEEPNESS * probability / level + 0.5 - 0.5 * STEEPNESS, 0, 1)
    area = moment_y = moment_x = 0.0
    for row in range(max(0, int(np.ceil(y - r_max))), min(ny - 1, int(y + r_max)) + 1):
        dy = row - y
        right = np.sqrt(max(0.0, r_max**2 - dy**2))
        left = -right
        for other, (oy, ox, their_radius, _) in enumerate(circles):
            vy, vx = oy - y, ox - x
            if other == k or np.hypot(vy, vx) >= 2 * r_max:
                continue
            vx = np.copysign(1e-9, vx) if abs(vx) < 1e-9 else vx
            end = ((vy**2 + (ox - x) ** 2 + radius**2 - their_radius**2) / 2 - dy * vy) / vx
            left, right = (left, min(right, end)) if vx > 0 else (max(left, end), right)
        pixels = np.arange(nx)
        covered = np.minimum(pixels + 0.5, x + right) - np.maximum(pixels - 0.5, x + left)
        weight = share[row] * np.clip(covered, 0, 1)
        area, moment_y, moment_x = area + weight.sum(), moment_y + weight.sum() * row, moment_x + weight @ pixels
    if area <= 0:
        return circles[k]
    return moment_y / area, moment_x / area, np.sqrt(area / np.pi), circles[k][3]


def near(place, places, distance):
    return any(np.hypot(place[0] - y, place[1] - x) < distance for y, x in places)


def find_circles(probability, r_min, r_max, min_distance, threshold):
    """(n, 4): y, x, radius, score, best first."""
    probability = np.asarray(probability, np.float32).astype(float)
    ny, nx = probability.shape
    middle = (r_min + r_max) / 2
    shortest, longest = max(0.0, min(r_min, middle - 1)), max(r_max, middle + 1)
    votes, margin = votes_of(probability, shortest, longest)
    around = [
        votes[margin + dy : margin + dy + ny, margin + dx : margin + dx + nx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)
    ]
    gathered = np.sum(around, axis=0)

    circles = []
    for score, y, x in sorted(
        maxima(gathered, max(threshold * 4 * np.pi * r_min, 1e-6)), key=lambda m: (-m[0], *m[1:])
    ):
        if not near((y, x), [circle[:2] for circle in circles], min_distance):
            circles.append((y, x, 0.0, score))
    for first in (True, False):
        before = list(circles)
        for k, (y, x, *_) in enumerate(before):
            others = [circle[:2] for other, circle in enumerate(before) if other != k]
            if first or near((y, x), others, 2 * (longest + 1)):
                circles[k] = centred(probability, before, k, longest + 1)

    scored = [(y, x, r, votes / (4 * np.pi * np.clip(r, r_min, r_max))) for y, x, r, votes in circles]
    kept = []
    for circle in sorted(scored, key=lambda c: (-c[3], *c[:2])):
        if circle[3] >= threshold and not near(circle, [other[:2] for other in kept], min_distance / 2):
            kept.append(circle)
    return np.array(kept).reshape(-1, 4)
