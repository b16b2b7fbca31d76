"""Slow NumPy twins of csrc/kernels/layer_*.cpp: every label looked at, all energies, whole systems of equations."""

import numpy as np


def features(stack, noise):
    """Logarithms in units of noise, (n, ...); that of 1 + noise is half its variance below 0 in the mean."""
    return (np.log(np.asarray(stack, float)) + noise**2 / 2) / noise


def distances(stack, signals, noise):
    """Chi² of every label in every pixel, (ny, nx, n_lower, n_upper)."""
    measured, expected = features(stack, noise), np.log(signals) / noise
    return np.sum((measured[:, :, :, None, None] - expected[:, None, None]) ** 2, axis=0)


def _slopes(values, labels, i, first):
    """Slope and curvature of the parabola through label i and its neighbours; at a border the slope of two."""
    before, after = max(i - 1, first), min(i + 1, len(labels) - 1)
    if before < i < after:
        x = labels[[before, i, after]] - labels[i]
        curve, slope, _ = np.polyfit(x, values[[before, i, after]], 2)
        return slope, 2 * curve
    if before == after:
        return np.zeros_like(values[i]), np.zeros_like(values[i])
    return (values[after] - values[before]) / (labels[after] - labels[before]), np.zeros_like(values[i])


def _half_steps(labels, i, first):
    before, after = max(i - 1, first), min(i + 1, len(labels) - 1)
    return -(labels[i] - labels[before]) / 2, (labels[after] - labels[i]) / 2


def refine(spectrum, signals, lower, upper, noise, i, j):
    """Thicknesses within half a step of label (i, j), their deviations and chi², by Gauss-Newton steps."""
    expected = np.moveaxis(np.log(signals) / noise, 0, -1)
    first = 1 if lower[0] == 0 and len(lower) > 1 else 0
    present = max(i, first)
    slope_l, curve_l = _slopes(expected[:, j], lower, present, first)
    slope_u, curve_u = _slopes(expected[i], upper, j, 0)
    low_l, high_l = _half_steps(lower, i, first) if i >= first else (0, 0)
    low_u, high_u = _half_steps(upper, j, 0)
    dl = du = 0.0
    for step in range(4):
        residual = spectrum - (expected[i, j] + dl * slope_l + dl**2 / 2 * curve_l + du * slope_u + du**2 / 2 * curve_u)
        by_l, by_u = slope_l + dl * curve_l, slope_u + du * curve_u
        ll, lu, uu = by_l @ by_l, by_l @ by_u, by_u @ by_u
        if step == 3:
            break
        old = dl
        if low_l < high_l and ll * uu - lu**2 > 1e-6 * ll * uu:
            dl += (uu * (by_l @ residual) - lu * (by_u @ residual)) / (ll * uu - lu**2)
        dl = np.clip(dl, low_l, high_l)
        if uu > 0:
            du = np.clip(du + (by_u @ residual - lu * (dl - old)) / uu, low_u, high_u)
    prior = [12 / max(labels[-1] - labels[0], 1e-9) ** 2 for labels in (lower, upper)]
    deviations = np.sqrt(np.diag(np.linalg.inv([[ll + prior[0], lu], [lu, uu + prior[1]]])))
    return np.array([lower[i] + dl, upper[j] + du]), deviations, residual @ residual


def row_beyond(found, lower, i):
    """The label beyond the bound that a thickness was left at, or None."""
    first = 1 if lower[0] == 0 and len(lower) > 1 else 0
    low, high = _half_steps(lower, i, first) if i >= first else (0, 0)
    if low < 0 and lower[i] - found > -0.998 * low:
        return i - 1
    return i + 1 if high > 0 and found - lower[i] > 0.998 * high else None


def likeliest(stack, signals, lower, upper, noise):
    """Thickness (2, ny, nx), sigma (2, ny, nx), chi² (ny, nx), and by how much the best label beats the next."""
    every = distances(stack, signals, noise)
    measured = features(stack, noise)
    shape = every.shape[:2]
    thickness, sigma, chi2, margin = np.zeros((2, *shape)), np.zeros((2, *shape)), np.zeros(shape), np.zeros(shape)
    for y, x in np.ndindex(shape):
        i, j = np.unravel_index(every[y, x].argmin(), every.shape[2:])
        margin[y, x] = np.sort(np.append(every[y, x], np.inf))[1] - every[y, x, i, j]
        best = refine(measured[:, y, x], signals, lower, upper, noise, i, j)
        beyond = row_beyond(best[0][0], lower, i)
        if beyond is not None:
            other = refine(measured[:, y, x], signals, lower, upper, noise, beyond, every[y, x, beyond].argmin())
            margin[y, x] = min(margin[y, x], abs(best[2] - other[2]))
            best = other if other[2] < best[2] else best
        thickness[:, y, x], sigma[:, y, x], chi2[y, x] = best
    return thickness, sigma, chi2, margin


def difference_cost(labels, weight, limit):
    """What two neighbours cost, for each pair of labels."""
    return weight * np.minimum(np.abs(labels[:, None] - labels), limit)


def field_cost(every, lower_index, upper_index, lower, upper, weight, limit):
    """What the Markov random field minimises, of labels (ny, nx) each; every: chi² of all labels."""
    ny, nx = lower_index.shape
    y, x = np.indices((ny, nx))
    total = every[y, x, lower_index, upper_index].sum() / 2
    for labels, chosen, w, most in zip((lower, upper), (lower_index, upper_index), weight, limit, strict=True):
        cost = difference_cost(labels, w, most)
        for dy, dx, share in ((0, 1, 1), (1, 0, 1), (1, 1, 0.5**0.5), (1, -1, 0.5**0.5)):
            left, right = (max(-dx, 0), nx - max(dx, 0)), (max(dx, 0), nx - max(-dx, 0))
            total += share * cost[chosen[: ny - dy, slice(*left)], chosen[dy:, slice(*right)]].sum()
    return total


def best_row(every, lower, upper, weight, limit):
    """The least cost of an image of one row, exactly, by dynamic programming over all pairs of labels."""
    between = (
        difference_cost(lower, weight[0], limit[0])[:, None, :, None]
        + difference_cost(upper, weight[1], limit[1])[None, :, None, :]
    )
    cost = every[0, 0] / 2
    for pixel in every[0, 1:]:
        cost = (cost[:, :, None, None] + between).min(axis=(0, 1)) + pixel / 2
    return cost.min()


def tikhonov_of_linear(stack, slopes, base, ranges, alpha, noise):
    """Thickness (2, ny, nx) of a model log(signal) = base + slopes · thickness, from its normal equations in whole.

    slopes: (n, 2) [1/nm].  ranges: of both layers' labels [nm].
    """
    measured = features(stack, noise) - base / noise
    n, ny, nx = measured.shape
    pixels = ny * nx
    pairs = [(y * nx + x, y * nx + x + 1) for y in range(ny) for x in range(nx - 1)]
    pairs += [(y * nx + x, y * nx + x + nx) for y in range(ny - 1) for x in range(nx)]
    laplacian = np.zeros((pixels, pixels))
    for a, b in pairs:
        laplacian[[a, b], [a, b]] += 1
        laplacian[[a, b], [b, a]] -= 1
    by = slopes * np.asarray(ranges) / 10 / noise
    system = np.kron(by.T @ by, np.eye(pixels)) + alpha * np.kron(np.eye(2), laplacian)
    solution = np.linalg.solve(system, (by.T @ measured.reshape(n, pixels)).ravel())
    return solution.reshape(2, ny, nx) * np.asarray(ranges)[:, None, None] / 10


def seen(thickness, taps, signals):
    """What images show of thicknesses (2, ny, nx) that go on beyond the field: (n, ny, nx).

    taps: (n, 2, k), shares of pixels from k // 2 after to k // 2 before.  signals: of thicknesses (2, m).
    """
    reach = taps.shape[2] // 2
    wide = np.pad(thickness, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    signal = signals(wide.reshape(2, -1)).reshape(-1, *wide.shape[1:])
    ny, nx = thickness.shape[1:]
    images = np.zeros((len(signal), ny, nx))
    for i, j in np.ndindex(*(taps.shape[2],) * 2):
        y, x = 2 * reach - i, 2 * reach - j
        images += (taps[:, 0, i] * taps[:, 1, j])[:, None, None] * signal[:, y : y + ny, x : x + nx]
    return images


def seen_cost(stack, deviation, thickness, taps, signals, weight, limit):
    """Half of chi², and what neighbours that differ cost, of those beyond the field too."""
    off = (np.asarray(stack, float) - seen(thickness, taps, signals)) / deviation
    reach = taps.shape[2] // 2
    wide = np.pad(thickness, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    return 0.5 * np.sum(off**2) + border_cost(wide, weight, limit)


def border_cost(thickness, weight, limit):
    """Of all pairs of the 8 neighbours."""
    cost = 0.0
    ny, nx = thickness.shape[1:]
    for y, x in np.ndindex(ny, nx):
        for dy, dx, length in ((0, 1, 1), (1, 0, 1), (1, 1, 0.5**0.5), (1, -1, 0.5**0.5)):
            if y + dy < ny and 0 <= x + dx < nx:
                step = np.abs(thickness[:, y, x] - thickness[:, y + dy, x + dx])
                cost += length * np.sum(np.array(weight) * np.minimum(step, limit))
    return cost


def neighbours_of(thickness, y, x):
    """The thicknesses of the 8 neighbours that are not the pixel's own, each once."""
    ny, nx = thickness.shape[1:]
    around = {
        tuple(thickness[:, yn, xn])
        for yn in range(max(y - 1, 0), min(y + 2, ny))
        for xn in range(max(x - 1, 0), min(x + 2, nx))
    }
    return sorted(around - {tuple(thickness[:, y, x])})


def region_of(thickness, y, x):
    """Pixels of the same thicknesses that are joined to (y, x) by their sides, as a mask."""
    same = (thickness == thickness[:, y, x][:, None, None]).all(0)
    region = np.zeros_like(same)
    region[y, x] = True
    while True:
        grown = region.copy()
        grown[1:] |= region[:-1]
        grown[:-1] |= region[1:]
        grown[:, 1:] |= region[:, :-1]
        grown[:, :-1] |= region[:, 1:]
        grown &= same
        if (grown == region).all():
            return region
        region = grown
