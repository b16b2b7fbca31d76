import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from semrt import tiling
from semrt.errors import InvalidOption, InvalidShape
from semrt.kernels import add_tile


def random_image(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def for_each_tile(operator):
    """A network that applies an operator to each channel of each tile."""
    return lambda tiles: np.stack([np.stack([operator(channel) for channel in tile]) for tile in tiles])


@st.composite
def layouts(draw):
    """Arguments of plan for two or three axes; some fields fit into one tile, most do not."""
    n_axes = draw(st.sampled_from([2, 2, 3]))
    multiple = draw(st.sampled_from([1, 2, 4, 8]))
    halo = draw(st.integers(0, 9))
    tile = multiple * (-(-(2 * halo + multiple) // multiple) + draw(st.integers(0, 8)))
    longest = 120 if n_axes == 2 else 45
    shape = tuple(draw(st.integers(1, longest)) for _ in range(n_axes))
    return shape, tile, halo, multiple


@settings(deadline=None, max_examples=80)
@given(layouts())
def test_the_windows_of_all_tiles_sum_to_exactly_one(layout):
    plan = tiling.plan(*layout)
    total = np.zeros((1, *plan.padded), np.float32)
    ones = np.ones((1, *plan.tile), np.float32)
    for origin, window in zip(plan.origins(), plan.windows(), strict=True):
        add_tile(ones, window, origin, total)
    np.testing.assert_array_equal(total, 1)


@settings(deadline=None, max_examples=80)
@given(layouts())
def test_tiles_are_of_one_shape_on_the_lattice_of_the_stride_and_inside_the_padded_field(layout):
    shape, tile, halo, multiple = layout
    plan = tiling.plan(*layout)
    assert len(plan) == len(list(plan.origins()))
    for n, padded, side, starts in zip(shape, plan.padded, plan.tile, plan.starts, strict=True):
        assert n <= padded
        assert side == min(tile, padded)
        assert all(start % multiple == 0 for start in (*starts, side, padded))
        assert (starts[0], starts[-1] + side) == (0, padded)
        assert (np.diff(starts) <= side - 2 * halo).all()


@settings(deadline=None, max_examples=40)
@given(layouts(), st.integers(1, 9))
def test_a_network_that_changes_nothing_gives_the_image_back(layout, batch):
    shape, tile, halo, multiple = layout
    image = random_image(2, *shape)
    same = tiling.run(lambda tiles: tiles, image, tile=tile, halo=halo, multiple=multiple, batch=batch)
    np.testing.assert_allclose(same, image, rtol=3e-7)  # two or three roundings where tiles blend


def test_a_field_that_fits_is_one_tile_and_few_lengths_occur():
    assert tiling.plan((500, 300), 512, 32, 16).tile == (512, 320)
    assert len(tiling.plan((500, 300), 512, 32, 16)) == 1
    lengths = [tiling.padded_length(n, 16) for n in range(1, 2049)]
    assert len({length for length in lengths if length > 1024}) == 8
    assert all(n <= length < max(n + 16, 1.125 * n) for n, length in enumerate(lengths, start=1))
    assert [tiling.padded_length(n, 16) for n in (512, 768, 1000, 1280, 2048)] == [512, 768, 1024, 1280, 2048]


@pytest.mark.parametrize("tile", [64, 96, 128])
@pytest.mark.parametrize("shape", [(300, 200), (64, 211), (30, 40)])
@pytest.mark.parametrize(
    ("operator", "halo", "multiple"),
    [
        (lambda image: ndimage.gaussian_filter(image, 2.0, mode="constant", cval=1.0, radius=8), 8, 1),
        (lambda image: ndimage.median_filter(image, 7, mode="nearest"), 3, 1),
        # pooled to blocks of 8 and back: invariant to shifts by 8 px alone
        (lambda image: ndimage.uniform_filter(image, 8)[4::8, 4::8].repeat(8, 0).repeat(8, 1), 8, 8),
    ],
    ids=["gaussian", "median", "pooled"],
)
def test_an_operator_of_known_reach_does_not_see_the_tiles(operator, halo, multiple, shape, tile):
    image = random_image(2, *shape)
    network = for_each_tile(operator)
    tiled = tiling.run(network, image, tile=tile, halo=halo, multiple=multiple, batch=4)
    whole = tiling.run(network, image, tile=512, halo=halo, multiple=multiple)
    assert len(tiling.plan(shape, 512, halo, multiple)) == 1
    np.testing.assert_allclose(tiled, whole, atol=1e-6)


def test_without_its_halo_the_seams_show():
    image = random_image(1, 192, 192)  # three tiles that touch
    network = for_each_tile(lambda plane: ndimage.gaussian_filter(plane, 2.0, mode="constant", radius=8))
    whole = tiling.run(network, image, tile=256, halo=8, multiple=1)
    seamed = tiling.run(network, image, tile=64, halo=0, multiple=1)
    assert np.abs(seamed - whole).max() > 0.1


def test_a_volume_is_tiled_as_an_image_is():
    volume = random_image(1, 40, 50, 33)
    network = for_each_tile(lambda tile: ndimage.gaussian_filter(tile, 1.0, mode="constant", radius=3))
    tiled = tiling.run(network, volume, tile=(16, 24, 20), halo=3, multiple=(4, 8, 1), batch=8)
    whole = tiling.run(network, volume, tile=64, halo=3, multiple=(4, 8, 1))
    np.testing.assert_allclose(tiled, whole, atol=1e-6)


def hour_glass(depth, width, seed):
    """A U-Net with a skip at each level; its stride is 2**depth and its receptive field at most 5 * 2**depth [px].

    Downward: 3 by 3 at strides 1 … 2**(depth-1) reaches 2**depth - 1; the bottom 2**depth; up again, the blocks of the
    repeated pixels 2**(depth+1) and the convolutions 2**depth.
    """
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class HourGlass(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(2, width, 1)
            self.down = nn.ModuleList(nn.Conv2d(width, width, 3, 2, padding=1) for _ in range(depth))
            self.bottom = nn.Conv2d(width, width, 3, padding=1)
            self.up = nn.ModuleList(nn.Conv2d(2 * width, width, 3, padding=1) for _ in range(depth))
            self.head = nn.Conv2d(width, 1, 1)

        def forward(self, x):
            x = self.stem(x)
            skips = []
            for convolution in self.down:
                skips.append(x)
                x = torch.relu(convolution(x))
            x = torch.relu(self.bottom(x))
            for convolution in self.up:
                x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
                x = torch.relu(convolution(torch.cat([x, skips.pop()], 1)))
            return self.head(x)

    torch.manual_seed(seed)
    network = HourGlass().eval()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter)  # as loud at the bottom as at the top

    def run_batch(tiles):
        with torch.inference_mode():
            return network(torch.from_numpy(tiles)).numpy()

    return run_batch


@pytest.mark.parametrize(
    ("depth", "tile", "shape"),
    [
        (2, 64, (130, 201)),
        (3, 128, (300, 100)),
        pytest.param(4, 256, (500, 270), marks=pytest.mark.slow),
        pytest.param(5, 384, (700, 400), marks=pytest.mark.slow),
    ],
)
def test_a_strided_network_does_not_see_the_tiles(depth, tile, shape):
    network = hour_glass(depth, 4, seed=depth)
    image = random_image(2, *shape)
    halo, multiple = 5 * 2**depth, 2**depth
    whole = tiling.run(network, image, tile=1024, halo=halo, multiple=multiple)
    tiled = tiling.run(network, image, tile=tile, halo=halo, multiple=multiple, batch=2)
    assert len(tiling.plan(shape, tile, halo, multiple)) > 1
    scale = np.abs(whole).max()
    np.testing.assert_allclose(tiled / scale, whole / scale, atol=1e-5)
    misplaced = tiling.run(network, image, tile=tile, halo=0, multiple=multiple)
    assert np.abs(misplaced - whole).max() / scale > 1e-3  # the test would notice


def test_off_the_lattice_of_its_stride_a_network_gives_another_image():
    network = for_each_tile(lambda tile: tile[::4, ::4].repeat(4, 0).repeat(4, 1)[: len(tile), : len(tile)])
    image = random_image(1, 90, 90)
    on_it = tiling.run(network, image, tile=36, halo=4, multiple=4)
    off_it = tiling.run(network, np.pad(image, ((0, 0), (0, 2), (0, 2)), "symmetric"), tile=33, halo=4, multiple=1)
    np.testing.assert_allclose(on_it, network(image[None])[0], rtol=3e-7)
    assert np.abs(off_it[:, :90, :90] - on_it).max() > 0.1


def test_batches_are_full_buckets_and_no_tile_runs_twice():
    sizes = []

    def network(tiles):
        sizes.append(len(tiles))
        return tiles[:, :1]

    image = random_image(1, 64, 240)  # tiles of 16 px without halo: 4 by 15
    for batch, expected in [(1, [1] * 60), (3, [2] * 30), (6, [4] * 15), (8, [8] * 7 + [4]), (100, [8] * 7 + [4])]:
        sizes.clear()
        tiling.run(network, image, tile=16, halo=0, multiple=16, batch=batch)
        assert sizes == expected
    sizes.clear()
    tiling.run(network, image[:, :16], tile=16, halo=0, multiple=16, batch=8)
    assert sizes == [8, 4, 2, 1]


def test_the_result_depends_neither_on_the_batch_nor_on_the_threads():
    image = random_image(3, 130, 170)
    network = for_each_tile(lambda plane: ndimage.uniform_filter(plane, 5))
    results = [
        tiling.run(network, image, tile=48, halo=2, multiple=4, batch=batch, n_threads=n_threads)
        for batch, n_threads in [(1, 1), (8, 1), (3, 4)]
    ]
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


def test_a_network_may_have_any_number_of_outputs():
    image = random_image(2, 50, 60)
    result = tiling.run(
        lambda tiles: np.concatenate([tiles, tiles.sum(axis=1, keepdims=True)], axis=1),
        image,
        tile=32,
        halo=4,
        multiple=8,
    )
    np.testing.assert_allclose(result, np.concatenate([image, image.sum(axis=0, keepdims=True)]), rtol=1e-6)


@pytest.mark.parametrize(("border", "mode"), [("reflect", "symmetric"), ("edge", "edge")])
def test_the_padding_repeats_what_stands_at_the_end_of_the_field(border, mode):
    seen = []

    def network(tiles):
        seen.append(tiles.copy())
        return tiles

    image = random_image(1, 13, 30)
    tiling.run(network, image, tile=32, halo=0, multiple=16, border=border)
    np.testing.assert_array_equal(seen[0][0], np.pad(image, ((0, 0), (0, 3), (0, 2)), mode))


def test_memory_holds_one_batch_and_not_all_tiles():
    image = random_image(8, 512, 512)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tiling.run(lambda tiles: tiles[:, :1], image, tile=64, halo=16, multiple=16, batch=4)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    result, one_batch = image[0].nbytes, 4 * 8 * 64 * 64 * 4
    assert len(tiling.plan((512, 512), 64, 16, 16)) == 225  # all of them at once would be 56 batches
    assert peak - before < result + 1.5 * one_batch


def test_progress_counts_the_tiles():
    told = []
    tiling.run(
        lambda tiles: tiles,
        random_image(1, 40, 100),
        tile=32,
        halo=4,
        multiple=8,
        batch=4,
        progress=lambda *done: told.append(done),
    )
    assert told == [(4, 8, "tile"), (8, 8, "tile")]


def test_a_tile_that_cannot_work_is_refused_with_one_that_can():
    with pytest.raises(InvalidOption, match="expected a multiple of 16 px, got 100; use 96"):
        tiling.plan((200, 200), 100, 8, 16)
    with pytest.raises(InvalidOption, match="expected a multiple of 16 px, got 0; use 16"):
        tiling.plan((200, 200), 0, 0, 16)
    with pytest.raises(InvalidOption, match=r"64 px leave nothing between two halos of 32 px; use at least 80"):
        tiling.plan((200, 200), 64, 32, 16)
    assert len(tiling.plan((200, 200), 80, 32, 16)) > 1
    for halo, multiple in [(-1, 16), (0, 0)]:
        with pytest.raises(InvalidOption, match="multiple and halo"):
            tiling.plan((200, 200), 64, halo, multiple)
    with pytest.raises(InvalidShape, match="one length or"):
        tiling.plan((200, 200), (64, 64, 64), 0, 16)
    with pytest.raises(InvalidOption, match="batch"):
        tiling.run(lambda tiles: tiles, random_image(1, 9, 9), tile=16, halo=0, multiple=1, batch=0)


def test_a_network_that_returns_other_shapes_is_refused():
    image = random_image(1, 40, 40)
    for network in (lambda tiles: tiles[:, 0], lambda tiles: tiles[:, :, ::2], lambda tiles: tiles[:1]):
        with pytest.raises(InvalidShape, match=r"predicted tiles: expected shape \(n, k, 32, 32\) with n = 2"):
            tiling.run(network, image, tile=32, halo=4, multiple=8, batch=2)
    with pytest.raises(InvalidShape, match="image"):
        tiling.run(lambda tiles: tiles, image[0], tile=32, halo=4, multiple=8)


# --- stacks of images


def test_a_stack_of_images_is_each_of_them_by_itself():
    images = random_image(3, 2, 50, 37)
    network = for_each_tile(lambda channel: ndimage.uniform_filter(channel, 5, mode="mirror"))
    how = {"tile": 24, "halo": 4, "multiple": 4}
    together = tiling.run_stack(network, images, batch=8, **how)
    one_by_one = np.stack([tiling.run(network, image, batch=8, **how) for image in images])
    np.testing.assert_array_equal(together, one_by_one)


def test_a_batch_mixes_tiles_of_several_images_and_progress_counts_them_all():
    images = random_image(5, 1, 16, 16)
    sizes, told = [], []

    def network(tiles):
        sizes.append(len(tiles))
        return tiles

    same = tiling.run_stack(
        network, images, tile=16, halo=0, multiple=16, batch=4, progress=lambda *said: told.append(said)
    )
    np.testing.assert_array_equal(same, images)
    assert sizes == [4, 1]  # five images of one tile each
    assert told == [(4, 5, "tile"), (5, 5, "tile")]


@pytest.mark.parametrize("shape", [(3, 8, 8), (0, 1, 8, 8), (2, 1, 0, 8)])
def test_what_is_no_stack_of_images_is_refused(shape):
    with pytest.raises(InvalidShape, match=r"images: expected shape \(n, c, ny, nx\)"):
        tiling.run_stack(lambda tiles: tiles, np.zeros(shape, np.float32), tile=8, halo=0, multiple=8)
