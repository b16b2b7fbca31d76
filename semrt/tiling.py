"""Run a network on fields larger than its tile: cut, run, blend; the result is that of one run on the whole field.

What makes tiled equal untiled:

* The field is padded at its end alone, to a length that depends on the field and not on the tile.
* Tiles begin and end on multiples of the network's stride, because it is shift-invariant to those alone.
* The first and last tile end where the padded field ends, so that the network's own padding acts where it would have.
* At a side that is cut, the outer `halo` pixels, whose receptive field the cut has damaged, get no weight.

Few different shapes occur, because a GPU tunes itself to every new one: all tiles of a field have the same shape, and a
field that fits into one tile has at most eight lengths to the octave.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, pairwise, product
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from semrt.errors import InvalidOption, InvalidShape
from semrt.kernels.blend import Border, add_tile, cut_tile, tile_window

if TYPE_CHECKING:
    from concurrent.futures import Future

    from numpy.typing import ArrayLike, NDArray

__all__ = ["BATCH_SIZES", "Plan", "halved", "in_lanes", "padded_length", "plan", "run", "run_stack"]

BATCH_SIZES = (8, 4, 2, 1)  # all that a session ever sees

RunBatch = Callable[["NDArray[np.float32]"], "NDArray[np.float32]"]  # (n, c, ty, tx) to (n, k, ty, tx)
Progress = Callable[[int, int, str], None]  # done, in total, and what: "tile", or "iteration, loss 0.0123"
Item = TypeVar("Item")
Made = TypeVar("Made")
Lengths = int | Sequence[int]  # one for all axes or one for each


@dataclass(frozen=True, slots=True)
class Plan:
    """Tiles of one shape on a lattice that covers a field.

    shape: of the field, ([nz,] ny, nx).  padded: of the field with its padding, which the tiles cover exactly.
    tile: shape of every tile.  halo: for each axis, the pixels of no weight at a side that is cut.
    starts: for each axis, the first pixel of each tile.
    """

    shape: tuple[int, ...]
    padded: tuple[int, ...]
    tile: tuple[int, ...]
    halo: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return math.prod(len(starts) for starts in self.starts)

    def origins(self) -> Iterator[tuple[int, ...]]:
        """The first pixel ([z,] y, x) of each tile, row by row."""
        return product(*self.starts)

    def windows(self) -> Iterator[tuple[NDArray[np.float32], ...]]:
        """The weights of each tile, one array for each axis, in the order of `origins`."""
        axes = zip(self.starts, self.tile, self.halo, strict=True)
        return product(*(_windows(starts, size, halo) for starts, size, halo in axes))


def plan(shape: Sequence[int], tile: Lengths, halo: Lengths, multiple: Lengths) -> Plan:
    """Lay tiles over a field.

    shape: ([nz,] ny, nx) of the field.  tile: longest side of a tile [px]; shorter where the field is.
    halo: radius of the network's receptive field [px].  multiple: the network's stride [px].
    Raises InvalidOption where a tile is no multiple of `multiple` or holds nothing but halo.
    """
    n_axes = len(shape)
    tile, halo, multiple = (_for_each_axis(lengths, n_axes) for lengths in (tile, halo, multiple))
    for longest, radius, stride in zip(tile, halo, multiple, strict=True):
        _check(longest, radius, stride)
    padded = tuple(padded_length(n, stride) for n, stride in zip(shape, multiple, strict=True))
    size = tuple(min(n, longest) for n, longest in zip(padded, tile, strict=True))
    starts = tuple(_starts(*axis) for axis in zip(padded, size, halo, multiple, strict=True))
    return Plan(tuple(int(n) for n in shape), padded, size, halo, starts)


def halved(
    shape: Sequence[int], images: int, tile: int, batch: int, halo: int, multiple: int
) -> tuple[int, int] | None:
    """Find what needs about half the memory of a batch: half the tiles at once, or else tiles of half the side.

    shape: ([nz,] ny, nx) of each of so many images.  The other arguments are those of `plan` and `run`.
    Returns tile and batch, as `run` takes them; None where one tile that holds little but halo is the batch already.
    """
    layout = plan(shape, tile, halo, multiple)
    at_once = next(_batch_sizes(images * len(layout), batch))
    if at_once > 1:
        return tile, at_once // 2
    longest = max(layout.tile)  # which a small field keeps below `tile`
    half = max(-(-longest // (2 * multiple)) * multiple, _least(halo, multiple))
    return (half, 1) if half < longest else None


def run(
    run_batch: RunBatch,
    image: ArrayLike,
    *,
    tile: Lengths,
    halo: Lengths,
    multiple: Lengths,
    batch: int = 1,
    border: Border = "reflect",
    progress: Progress | None = None,
    n_threads: int | None = None,
    lanes: int = 1,
) -> NDArray[np.float32]:
    """Run a network on an image tile by tile.

    run_batch: takes (n, c, ty, tx) float32, returns (n, k, ty, tx); n is one of BATCH_SIZES and at most `batch`.
        It is handed the same memory again and again: what must outlive the call must be copied.
    image: (c, ny, nx), or (c, nz, ny, nx) for a volume.  tile, halo, multiple: see `plan`.
    border: what the padding repeats, the mirror image or the last pixel.  progress: called with (done, total, "tile").
    lanes: calls of run_batch at once, each in a thread of its own, while tiles of others are cut and blended here.
    Returns (k, ny, nx) float32.  Memory beyond image and result: one batch a lane.  Raises InvalidShape, InvalidOption.
    """
    field = np.ascontiguousarray(image, np.float32)
    if field.ndim not in (3, 4) or 0 in field.shape:
        raise InvalidShape("image", "(c, ny, nx) or (c, nz, ny, nx) with at least one pixel", field.shape)
    layout = plan(field.shape[1:], tile, halo, multiple)
    return np.asarray(_run(run_batch, field[None], layout, batch, border, progress, n_threads, lanes)[0])


def run_stack(
    run_batch: RunBatch,
    images: ArrayLike,
    *,
    tile: Lengths,
    halo: Lengths,
    multiple: Lengths,
    batch: int = 1,
    border: Border = "reflect",
    progress: Progress | None = None,
    n_threads: int | None = None,
    lanes: int = 1,
) -> NDArray[np.float32]:
    """Run a network on each image of a stack tile by tile; a batch may hold tiles of several of them.

    images: (n, c, ny, nx).  The other arguments are those of `run`.
    Returns (n, k, ny, nx) float32.  Raises InvalidShape, InvalidOption.
    """
    fields = np.ascontiguousarray(images, np.float32)
    if fields.ndim != 4 or 0 in fields.shape:
        raise InvalidShape("images", "(n, c, ny, nx) with at least one pixel", fields.shape)
    layout = plan(fields.shape[2:], tile, halo, multiple)
    return _run(run_batch, fields, layout, batch, border, progress, n_threads, lanes)


def _run(
    run_batch: RunBatch,
    fields: NDArray[np.float32],
    layout: Plan,
    batch: int,
    border: Border,
    progress: Progress | None,
    n_threads: int | None,
    lanes: int,
) -> NDArray[np.float32]:
    """Run a network on fields of one shape, (n, c, [nz,] ny, nx)."""
    if batch < 1:
        raise InvalidOption(f"batch: expected at least 1 tile, got {batch}")
    places = ((i, *place) for i in range(len(fields)) for place in zip(layout.origins(), layout.windows(), strict=True))
    total = len(fields) * len(layout)
    memory: list[NDArray[np.float32] | None] = [None] * lanes

    def predict(lane: int, together: Sequence[tuple[int, tuple[int, ...], Any]]) -> NDArray[np.float32]:
        n = len(together)
        if (tiles := memory[lane]) is None:  # the first batch of a lane is its largest
            tiles = memory[lane] = np.empty((n, fields.shape[1], *layout.tile), np.float32)
        for cut, (i, origin, _) in zip(tiles[:n], together, strict=True):
            cut_tile(fields[i], origin, cut, border=border, n_threads=n_threads)
        predicted = np.ascontiguousarray(run_batch(tiles[:n]), np.float32)
        if predicted.ndim != fields.ndim or (predicted.shape[0], *predicted.shape[2:]) != (n, *layout.tile):
            wanted = ", ".join(["n", "k", *map(str, layout.tile)])
            raise InvalidShape("predicted tiles", f"({wanted}) with n = {n}", predicted.shape)
        return predicted

    result: NDArray[np.float32] | None = None
    done = 0
    batches = (list(islice(places, n)) for n in _batch_sizes(total, batch))
    for together, predicted in in_lanes(predict, batches, lanes):
        if result is None:
            result = np.zeros((len(fields), predicted.shape[1], *layout.shape), np.float32)
        for tile_predicted, (i, origin, window) in zip(predicted, together, strict=True):
            add_tile(tile_predicted, window, origin, result[i], n_threads=n_threads)
        done += len(together)
        if progress is not None:
            progress(done, total, "tile")
    assert result is not None  # a field of at least one pixel has at least one tile
    return result


def in_lanes(work: Callable[[int, Item], Made], items: Iterable[Item], lanes: int) -> Iterator[tuple[Item, Made]]:
    """Give each item with what work(lane, item) makes of it, in their order, which sums of floats depend on.

    A lane is given its next item when what came of its last one has been taken, so that it may be the lane's memory.
    """
    if lanes == 1:
        for item in items:
            yield item, work(0, item)
        return
    with ThreadPoolExecutor(lanes, thread_name_prefix="semrt-lane") as pool:
        begun: deque[tuple[Item, Future[Made]]] = deque()
        for k, item in enumerate(items):
            if k >= lanes:
                before, future = begun.popleft()
                yield before, future.result()
            begun.append((item, pool.submit(work, k % lanes, item)))
        for item, future in begun:
            yield item, future.result()


def padded_length(n: int, multiple: int) -> int:
    """The next length from n on that is a multiple of `multiple`, at most eight of them between n and 2·n."""
    strides = -(-n // multiple)
    step = 1 << max(0, (strides - 1).bit_length() - 4)
    return -(-strides // step) * step * multiple


def _check(tile: int, halo: int, multiple: int) -> None:
    if multiple < 1 or halo < 0:
        raise InvalidOption(f"multiple and halo: expected at least 1 and 0 px, got {multiple} and {halo}")
    if tile < multiple or tile % multiple:
        nearest = max(multiple, round(tile / multiple) * multiple)
        raise InvalidOption(f"tile: expected a multiple of {multiple} px, got {tile}; use {nearest}")
    if tile - 2 * halo < multiple:
        least = _least(halo, multiple)
        raise InvalidOption(f"tile: {tile} px leave nothing between two halos of {halo} px; use at least {least}")


def _least(halo: int, multiple: int) -> int:
    """The smallest tile that holds more than halo."""
    return -(-(2 * halo + multiple) // multiple) * multiple


def _starts(padded: int, size: int, halo: int, multiple: int) -> tuple[int, ...]:
    """As few tiles as cover the length, as evenly spread as `multiple` allows."""
    if padded == size:
        return (0,)
    longest_step = (size - 2 * halo) // multiple * multiple
    n_steps = -(-(padded - size) // longest_step)
    return tuple(i * (padded - size) // n_steps // multiple * multiple for i in range(n_steps + 1))


def _windows(starts: tuple[int, ...], size: int, halo: int) -> list[NDArray[np.float32]]:
    shared = [0, *(a + size - b for a, b in pairwise(starts)), 0]
    return [tile_window(size, halo, before=before, after=after) for before, after in pairwise(shared)]


def _batch_sizes(n_tiles: int, batch: int) -> Iterator[int]:
    """Largest first, and never a tile more than there are: a partial batch runs as smaller ones, not padded."""
    for size in BATCH_SIZES:
        while size <= min(batch, n_tiles):
            yield size
            n_tiles -= size


def _for_each_axis(lengths: Lengths, n_axes: int) -> tuple[int, ...]:
    if isinstance(lengths, int | np.integer):
        return (int(lengths),) * n_axes
    if len(lengths) != n_axes:
        raise InvalidShape("tile, halo, multiple", f"one length or ({n_axes},)", (len(lengths),))
    return tuple(int(length) for length in lengths)
