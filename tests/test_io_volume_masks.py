"""Where the probe went in each slice of a stack, as the file or the caller says it."""

from dataclasses import replace

import mrcfile
import numpy as np
import pytest
import tifffile

from semrt import io
from semrt.data import Micrograph, SparseVolume, Volume
from semrt.errors import EmptyScan, InvalidOption, InvalidShape, UnsupportedFormat
from volume_samples import SHAPE, THICKNESS, a_mask, counts, sparse, whole


@pytest.fixture
def stack(tmp_path):
    io.write(tmp_path / "stack.tif", whole(pixel_size=2, slice_thickness=THICKNESS, metadata={"detector": "BSE"}))
    return tmp_path / "stack.tif"


@pytest.mark.parametrize("shape", [SHAPE, SHAPE[1:]], ids=["of each slice", "for every slice"])
@pytest.mark.parametrize("kind", ["array", ".tif", ".npy", ".mrc", "mask.npz", "scan.npz"])
def test_a_mask_says_where_the_probe_went_in_each_slice_or_in_all(kind, shape, stack, tmp_path):
    visited = a_mask(shape)
    mask = tmp_path / f"mask{kind}"
    match kind:
        case "array":
            mask = visited * 0.25
        case ".tif":
            tifffile.imwrite(mask, visited * np.uint8(255), photometric="minisblack")
        case ".npy":
            np.save(mask, visited)
        case ".mrc":
            with mrcfile.new(mask) as file:
                file.set_data(visited.astype(np.int8))
        case "mask.npz":
            np.savez(mask, visited=visited)
        case "scan.npz":
            np.savez(mask, visited=visited, intensity=np.zeros(shape))
    got = io.read(stack, mask=mask)
    assert isinstance(got, SparseVolume)
    np.testing.assert_array_equal(got.visited, np.broadcast_to(visited, SHAPE))
    np.testing.assert_array_equal(got.intensity, np.where(visited, counts(), 0))
    assert (got.pixel_size, got.slice_thickness, got.metadata["detector"]) == ((2, 2), THICKNESS, "BSE")


def test_a_scan_path_serves_as_the_mask_of_every_slice(stack, tmp_path):
    from semrt.scan import generate

    planned = generate("random", SHAPE[1:], 0.3, seed=3)
    io.write(tmp_path / "path.csv", planned)
    got = io.read(stack, mask=tmp_path / "path.csv")
    np.testing.assert_array_equal(got.visited, np.broadcast_to(planned.visited, SHAPE))


@pytest.mark.parametrize("unvisited", [np.nan, 0.0, -5.0])
def test_nan_and_a_chosen_value_mark_what_was_not_visited_in_a_stack(unvisited, tmp_path):
    np.save(tmp_path / "a.npy", np.where(a_mask(), counts(), unvisited))
    chosen = {} if np.isnan(unvisited) else {"unvisited": unvisited}
    got = io.read(tmp_path / "a.npy", **chosen, pixel_size="3nm")
    assert isinstance(got, SparseVolume)
    np.testing.assert_array_equal(got.visited, a_mask())
    assert got.pixel_size == (3, 3)
    if chosen:
        assert isinstance(io.read(tmp_path / "a.npy"), Volume)


def test_an_npz_may_hold_one_mask_for_all_its_slices(tmp_path):
    np.savez(tmp_path / "a.npz", intensity=counts(), visited=a_mask(SHAPE[1:]), slice_thickness=30)
    got = io.read(tmp_path / "a.npz")
    np.testing.assert_array_equal(got.visited, np.broadcast_to(a_mask(SHAPE[1:]), SHAPE))
    assert got.slice_thickness == 30


@pytest.mark.parametrize("shape", [(4, 24, 17), (5, 24, 16), (17, 24), (6, 24, 17)])
def test_a_mask_of_another_shape_or_number_of_slices_is_refused_in_one_line(shape, stack, tmp_path):
    np.save(tmp_path / "mask.npy", np.ones(shape))
    with pytest.raises(InvalidShape) as refused:
        io.read(stack, mask=tmp_path / "mask.npy")
    wanted = f"expected shape (5, 24, 17), as {stack} has, or (24, 17) for every slice, got {shape}"
    assert str(refused.value) == f"mask {tmp_path / 'mask.npy'}: {wanted}"


def test_a_mask_of_many_slices_fits_no_single_image(stack, tmp_path):
    io.write(tmp_path / "image.npy", Micrograph(counts()[0]))
    with pytest.raises(InvalidShape, match=r"mask.*stack\.tif: expected shape \(24, 17\), as .*image\.npy has, got"):
        io.read(tmp_path / "image.npy", mask=stack)


def test_a_slice_without_a_visited_pixel_is_named_with_its_file(stack, tmp_path):
    mask = a_mask()
    mask[2] = False
    np.save(tmp_path / "mask.npy", mask)
    with pytest.raises(EmptyScan, match=r"mask\.npy: slice z=2: expected at least one visited pixel"):
        io.read(stack, mask=tmp_path / "mask.npy")
    np.save(tmp_path / "gaps.npy", np.where(mask, counts(), np.nan))
    with pytest.raises(EmptyScan, match=r"gaps\.npy: slice z=2"):
        io.read(tmp_path / "gaps.npy")


def test_contradictory_words_on_what_was_visited_in_a_stack_are_refused(tmp_path):
    io.write(tmp_path / "a.npz", sparse())
    with pytest.raises(InvalidOption, match=r"a\.npz: says itself"):
        io.read(tmp_path / "a.npz", unvisited=0)
    np.savez(tmp_path / "b.npz", intensity=counts(), visited=a_mask(), exposure=np.ones(SHAPE))
    with pytest.raises(UnsupportedFormat, match=r"b\.npz: the exposure"):
        io.read(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", intensity=counts(), slice_thickness=[1, 2])
    with pytest.raises(InvalidShape, match=r"c\.npz: slice_thickness"):
        io.read(tmp_path / "c.npz")


def test_a_result_keeps_its_voxels_when_its_pixel_size_is_replaced(stack):
    assert io.read(stack, pixel_size="0.3x0.2nm").pixel_size == (0.3, 0.2)
    assert io.read(stack, pixel_size=1).slice_thickness == THICKNESS
    assert replace(io.read(stack), slice_thickness=None).slice_thickness is None
