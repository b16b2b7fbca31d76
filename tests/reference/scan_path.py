"""Slow twins of semrt.kernels.scan_path, scan_order and coil_lag: sample by sample, in plain Python."""

from __future__ import annotations

import itertools
import math

import numpy as np

MASK = 2**64 - 1
STEP = 0.99


# ------------------------------------------------------------------------------------------------ random numbers


def splitmix64(state):
    """The next state and number."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return state, z ^ (z >> 31)


def xoshiro256pp(s):
    """The next number; `s`, four words, moves on."""

    def rotated(x, k):
        return ((x << k) | (x >> (64 - k))) & MASK

    result = (rotated((s[0] + s[3]) & MASK, 23) + s[0]) & MASK
    t = (s[1] << 17) & MASK
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= t
    s[3] = rotated(s[3], 45)
    return result


class Random:
    def __init__(self, seed, stream=0):
        state = seed ^ (stream * 0xD1342543DE82EF95 & MASK)
        self.words = []
        for _ in range(4):
            state, word = splitmix64(state)
            self.words.append(word)

    def below(self, n):
        while True:
            high, low = divmod((xoshiro256pp(self.words) >> 32) * n, 2**32)
            if low >= 2**32 % n:
                return high


# -------------------------------------------------------------------------------------------- counting and fitting


def length(y, x):
    return math.sqrt(y * y + x * x)


def half_up(x):
    return math.floor(x + 0.5)


def rounded(distance):
    return half_up(distance * 1024) / 1024


def wanted(shape, coverage):
    return min(max(half_up(coverage * (shape[0] * shape[1])), 1), shape[0] * shape[1])


def pixel_of(position, shape):
    y, x = half_up(position[0]), half_up(position[1])
    return (y, x) if 0 <= y < shape[0] and 0 <= x < shape[1] else None


def until(trace, shape, pixels, keep_outside=False):
    """The samples of a trace to that which completes the pixels wanted, and whether it did."""
    seen, path = set(), []
    for position in trace:
        pixel = pixel_of(position, shape)
        if pixel is not None:
            seen.add(pixel)
        if pixel is not None or keep_outside:
            path.append(position)
        if len(seen) == pixels:
            return path, True
    return path, False


def widest(trace, shape, pixels, guess):
    """The widest pitch, by bisection, whose trace visits the pixels wanted."""

    def suffices(pitch):
        return until(trace(pitch), shape, pixels)[1]

    fine = wide = guess
    if suffices(guess):
        for _ in range(24):
            wide *= 1.25
            if not suffices(wide):
                break
            fine = wide
    else:
        while not suffices(fine):
            wide, fine = fine, fine * 0.8
            assert fine >= guess / 16, "this path cannot visit so many pixels"
    while wide - fine > 1e-3 * fine:
        middle = 0.5 * (fine + wide)
        if suffices(middle):
            fine = middle
        else:
            wide = middle
    return fine


def fitted(trace, shape, pixels, guess, keep_outside=False):
    return until(trace(widest(trace, shape, pixels, guess)), shape, pixels, keep_outside)[0]


# ------------------------------------------------------------------------------------------------------- patterns


def parts(n, size):
    """(begin, end) of n equal parts of a size, in whole pixels."""
    return [(i * size // n, (i + 1) * size // n) for i in range(n)]


def raster(shape, coverage, snake=False):
    ny, nx = shape
    rows = min(max(half_up(coverage * ny), 1), ny)
    path = []
    for i in range(rows):
        row = [((2 * i + 1) * ny // (2 * rows), x) for x in range(nx)]
        path += row[::-1] if snake and i % 2 else row
    return path


def snake(shape, coverage):
    return raster(shape, coverage, snake=True)


def interleaved(shape, coverage, skip=None):
    n = wanted(shape, coverage)
    skip = skip or max(2, math.ceil(1 / math.sqrt(coverage)))
    ny, nx = (min(skip, n) for n in shape)
    taken, path = [], []
    while len(path) < n:

        def room(shift):
            def squared(other):
                return sum(
                    min(abs(a - b), period - abs(a - b)) ** 2
                    for a, b, period in zip(shift, other, (ny, nx), strict=True)
                )

            return min(map(squared, taken))

        shift = max(itertools.product(range(ny), range(nx)), key=room) if taken else (ny // 2, nx // 2)
        taken.append(shift)
        lattice = list(itertools.product(range(shift[0], shape[0], ny), range(shift[1], shape[1], nx)))
        count = min(n - len(path), len(lattice))
        path += [lattice[(2 * i + 1) * len(lattice) // (2 * count)] for i in range(count)]
    return path


def line_hop(shape, coverage, run=16, seed=0):
    n = wanted(shape, coverage)
    rows = -(-n // shape[1])
    random = Random(seed)
    path = []
    for i, ((top, bottom), (first, last)) in enumerate(zip(parts(rows, shape[0]), parts(rows, n), strict=True)):
        y = top + random.below(bottom - top)
        until_hop = 1 + random.below(run)
        columns = [(2 * k + 1) * shape[1] // (2 * (last - first)) for k in range(last - first)]
        for x in columns[::-1] if i % 2 else columns:
            if until_hop == 0:
                y, until_hop = top + random.below(bottom - top), run
            path.append((y, x))
            until_hop -= 1
    return path


def random_walk(shape, coverage, amplitude=None, seed=0):
    def walks(lines, across, along, fraction, stream):
        for i, (begin, end) in enumerate(parts(lines, across)):
            random = Random(seed, stream + i)
            low, high = begin, end - 1
            if amplitude is not None:
                middle = 0.5 * (low + high)
                low, high = max(low, math.floor(middle - amplitude)), min(high, math.ceil(middle + amplitude))
            at = low + random.below(high - low + 1)
            for k in range(math.ceil(fraction * along)):
                yield at, k if i % 2 == 0 else along - 1 - k
                at = min(max(at + random.below(3) - 1, low), high)

    def cross(pitch, fraction):
        rows, columns = (min(max(math.ceil(n / pitch), 1), n) for n in shape)
        yield from walks(rows, shape[0], shape[1], fraction, 0)
        yield from ((y, x) for x, y in walks(columns, shape[1], shape[0], fraction, 2**32))

    n = wanted(shape, coverage)
    pitch = widest(lambda wide: cross(wide, 1), shape, n, 2 / coverage)
    return fitted(lambda shortening: cross(pitch, min(1.0, 1 / shortening)), shape, n, 1.0)


def spiral(shape, coverage, kind, centre=None, angle=0.0, keep_outside=False, angle_step=0.0):
    """Angles in radians."""
    cy, cx = centre or ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
    radius = length(max(cy + 0.5, shape[0] - 0.5 - cy), max(cx + 0.5, shape[1] - 0.5 - cx))

    def polar(r, theta):
        return rounded(cy + r * math.sin(angle + theta)), rounded(cx + r * math.cos(angle + theta))

    def fermat(spacing):
        for i in range(math.ceil((radius / spacing) * (radius / spacing)) + 1):
            yield polar(spacing * math.sqrt(i), i * angle_step)

    def archimedean(pitch):
        k = pitch / (2 * math.pi)
        turn = STEP / length(radius, k)
        for i in range(math.ceil(radius / (k * turn)) + 1):
            yield polar(k * (i * turn), i * turn)

    def clv(pitch):
        k = pitch / (2 * math.pi)
        theta = 0.0
        while theta <= radius / k:
            yield polar(k * theta, theta)
            middle = theta + 0.5 * STEP / (k * math.sqrt(1 + theta * theta))
            theta += STEP / (k * math.sqrt(1 + middle * middle))

    guess = 1 / math.sqrt(math.pi * coverage) if kind == "fermat" else 1 / coverage
    trace = {"fermat": fermat, "archimedean": archimedean, "clv": clv}[kind]
    return fitted(trace, shape, wanted(shape, coverage), guess, keep_outside)


def lissajous(shape, coverage, ratio, phase):
    my, mx = (shape[0] - 1) / 2, (shape[1] - 1) / 2
    ry, rx = my + 0.499, mx + 0.499
    turn = STEP / length(ratio * ry, rx)
    trace = (
        (rounded(my + ry * math.sin(ratio * turn * i + phase)), rounded(mx + rx * math.sin(turn * i)))
        for i in range(64 * shape[0] * shape[1] + 10_000)
    )
    return until(trace, shape, wanted(shape, coverage))[0]


def hilbert_nodes(rows, columns):
    """The generalised Hilbert curve through a lattice, (y, x), after J. Červený."""

    def sign(v):
        return (v > 0) - (v < 0)

    def fill(x, y, ax, ay, bx, by):
        w, h = abs(ax + ay), abs(bx + by)
        dax, day, dbx, dby = map(sign, (ax, ay, bx, by))
        if h == 1:
            yield from ((y + i * day, x + i * dax) for i in range(w))
            return
        if w == 1:
            yield from ((y + i * dby, x + i * dbx) for i in range(h))
            return
        ax2, ay2, bx2, by2 = ax // 2, ay // 2, bx // 2, by // 2
        if 2 * w > 3 * h:
            if abs(ax2 + ay2) % 2 and w > 2:
                ax2, ay2 = ax2 + dax, ay2 + day
            yield from fill(x, y, ax2, ay2, bx, by)
            yield from fill(x + ax2, y + ay2, ax - ax2, ay - ay2, bx, by)
            return
        if abs(bx2 + by2) % 2 and h > 2:
            bx2, by2 = bx2 + dbx, by2 + dby
        yield from fill(x, y, bx2, by2, ax2, ay2)
        yield from fill(x + bx2, y + by2, ax, ay, bx - bx2, by - by2)
        yield from fill(
            x + (ax - dax) + (bx2 - dbx), y + (ay - day) + (by2 - dby), -bx2, -by2, -(ax - ax2), -(ay - ay2)
        )

    yield from fill(0, 0, columns, 0, 0, rows) if columns >= rows else fill(0, 0, 0, rows, columns, 0)


def hilbert(shape, coverage):
    def trace(rows, columns, scale):
        def along(k, nodes, size):
            return 0.5 * (size - 1) + (k - 0.5 * (nodes - 1)) * (scale * size / nodes)

        nodes = [(along(y, rows, shape[0]), along(x, columns, shape[1])) for y, x in hilbert_nodes(rows, columns)]
        yield rounded(nodes[0][0]), rounded(nodes[0][1])
        for (y0, x0), (y1, x1) in itertools.pairwise(nodes):
            far = max(abs(y1 - y0), abs(x1 - x0))
            n = 1 if far <= 1 else math.ceil(far / STEP)
            for i in range(1, n + 1):
                yield rounded(y0 + i / n * (y1 - y0)), rounded(x0 + i / n * (x1 - x0))

    def count(lattice):
        return len({pixel_of(position, shape) for position in trace(*lattice)})

    n = wanted(shape, coverage)
    fewest, best = math.inf, (*shape, 1.0)

    def tried(lattice):
        nonlocal fewest, best
        pixels = count(lattice)
        if n <= pixels < fewest:
            fewest, best = pixels, lattice

    for i, k in itertools.product(range(-3, 4), repeat=2):
        tried((*(min(max(half_up(coverage * size) + j, 1), size) for size, j in zip(shape, (i, k), strict=True)), 1.0))
    rows, columns, _ = best
    for i in range(1, 32):
        if fewest > n + n // 500:
            tried((rows, columns, 1 - i / (32 * min(rows, columns))))
    return until(trace(*best), shape, n)[0]


def jittered_grid(shape, coverage, jitter=1.0, seed=0):
    n = wanted(shape, coverage)
    rows = min(max(half_up(math.sqrt(n * (shape[0] / shape[1]))), -(-n // shape[1])), min(n, shape[0]))
    random = Random(seed)

    def within(begin, end):
        free = max(1, half_up(jitter * (end - begin)))
        return begin + (end - begin - free) // 2 + random.below(free)

    path = []
    for i, (first, last) in enumerate(parts(rows, n)):
        cells = parts(last - first, shape[1])
        for cell in cells[::-1] if i % 2 else cells:
            y = within(*parts(rows, shape[0])[i])
            path.append((y, within(*cell)))
    return path


def random_pixels(shape, coverage, seed=0):
    pixels = list(itertools.product(range(shape[0]), range(shape[1])))
    random = Random(seed)
    n = wanted(shape, coverage)
    for i in range(n):
        k = i + random.below(len(pixels) - i)
        pixels[i], pixels[k] = pixels[k], pixels[i]
    return pixels[:n]


def line(x0, y0, x1, y1):
    """The pixels (y, x) of a line of one pixel's width without its end: Bresenham's, ties going sideways."""
    dx, dy = abs(x1 - x0), abs(y1 - y0)
    steps = max(dx, dy)
    for i in range(steps):
        # The minor axis has moved once for each whole time that 2·i·minor reached 2·k·major - major, ties included.
        x, y = (i, (2 * i * dy + dx) // (2 * dx)) if dx > dy else ((2 * i * dx + dy) // (2 * dy), i)
        yield y0 + int(math.copysign(y, y1 - y0)), x0 + int(math.copysign(x, x1 - x0))


def ede_spiral(shape, nominal):
    canvas = math.ceil(math.sqrt(2) * max(shape))
    radius = canvas / 2
    k = 1 / (2 * math.pi * (1 / nominal))
    turn = (radius / k) / 10_000
    points = [
        (int(k * (i * turn) * math.cos(i * turn) + radius), int(k * (i * turn) * math.sin(i * turn) + radius))
        for i in range(math.ceil((radius / k) / turn))
    ]
    drawn = [pixel for a, b in itertools.pairwise(points) for pixel in line(*a, *b)] + [points[-1][::-1]]
    cropped = ((y - canvas // 2 + shape[0] // 2, x - canvas // 2 + shape[1] // 2) for y, x in drawn)
    return [(y, x) for y, x in cropped if 0 <= y < shape[0] and 0 <= x < shape[1]]


# ------------------------------------------------------------------------------------------------- order and lag


def nearest_order(positions):
    left = list(range(len(positions)))
    order = [left.pop(0)]
    while left:
        squared = ((positions[left] - positions[order[-1]]) ** 2).sum(axis=1)
        order.append(left.pop(int(np.argmin(squared))))
    return order


def coil_lag(nominal, dwell_time, wait, time_constant, delay, slew_limit, dt):
    """One axis, in small steps of time; all times are multiples of dt [µs]."""
    demand, measuring = [], []
    for at, dwell, waited in zip(nominal, dwell_time, wait, strict=True):
        demand += [at] * round((dwell + waited) / dt)
        measuring.append((len(demand) - round(dwell / dt), len(demand)))
    demand = [nominal[0]] * round(delay / dt) + demand
    at, track = nominal[0], []
    for asked in demand:
        speed = (asked - at) / max(time_constant, dt)
        moved = at + dt * min(max(speed, -slew_limit), slew_limit)
        track.append((at + moved) / 2)
        at = moved
    return [float(np.mean(track[begin:end])) for begin, end in measuring]
