"""Where the probe went, and how large a pixel is, as the caller says it of a file."""

import cv2
import mrcfile
import numpy as np
import pytest
import tifffile

from io_samples import micrograph, sparse
from semrt import io
from semrt.data import Micrograph, SparseScan
from semrt.errors import EmptyScan, InvalidOption, InvalidShape, InvalidValue, UnsupportedFormat


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, np.arange(1, 21, dtype=np.uint16).reshape(4, 5))
    return path


VISITED = np.eye(4, 5, dtype=bool)


@pytest.mark.parametrize("kind", ["array", "counts", ".tif", ".png", ".npy", ".mrc", "mask.npz", "scan.npz", "NaN"])
def test_a_mask_says_where_the_probe_went(kind, image, tmp_path):
    mask = tmp_path / f"mask{kind}"
    match kind:
        case "array":
            mask = VISITED.tolist()
        case "counts":
            mask = VISITED * 0.25
        case ".tif":
            tifffile.imwrite(mask, VISITED * np.uint8(255))
        case ".png":
            cv2.imwrite(str(mask), np.repeat(VISITED[..., None] * np.uint8(255), 3, -1))
        case ".npy":
            np.save(mask, VISITED)
        case ".mrc":
            with mrcfile.new(mask) as file:
                file.set_data(VISITED.astype(np.int8))
        case "mask.npz":
            np.savez(mask, visited=VISITED)
        case "scan.npz":
            np.savez(mask, visited=VISITED, intensity=np.zeros((4, 5)))
        case "NaN":
            mask = np.where(VISITED, 1, np.nan)
    scan = io.read(image, mask=mask)
    assert isinstance(scan, SparseScan)
    np.testing.assert_array_equal(scan.visited, VISITED)
    np.testing.assert_array_equal(scan.intensity[VISITED], [1, 7, 13, 19])
    assert scan.metadata["dtype"] == "uint16"


@pytest.mark.parametrize(("kind", "full"), [("array", 1.0), (".tif", 1.0), (".png", 255)])
def test_an_exposure_says_where_the_probe_went_and_for_how_long(kind, full, image, tmp_path):
    given = np.where(VISITED, np.linspace(0.2, 1.0, 20).reshape(4, 5), 0).astype(np.float32)
    given[3, 3] = 1.0
    path = tmp_path / f"exposure{kind}"
    match kind:
        case "array":
            path = given
        case ".tif":
            tifffile.imwrite(path, given)
        case ".png":
            cv2.imwrite(str(path), np.rint(given * full).astype(np.uint8))
    scan = io.read(image, exposure=path)
    np.testing.assert_array_equal(scan.visited, VISITED)
    np.testing.assert_allclose(scan.exposure, given, atol=0.5 / 255 if kind == ".png" else 1e-7)
    np.testing.assert_array_equal(scan.intensity[VISITED], [1, 7, 13, 19])


@pytest.mark.parametrize(
    ("exposure", "error", "said"),
    [
        (np.ones((4, 4)), InvalidShape, r"\(4, 5\)"),
        (np.full((4, 5), -1.0), InvalidValue, "zero or above"),
        (np.full((4, 5), np.nan), InvalidValue, "zero or above"),
        (np.zeros((4, 5)), EmptyScan, "exposure"),
    ],
)
def test_an_exposure_that_cannot_be_is_refused(exposure, error, said, image):
    with pytest.raises(error, match=said):
        io.read(image, exposure=exposure)


def test_an_exposure_is_for_single_images_and_instead_of_a_mask(image, tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", np.ones((3, 4, 5), np.float32), photometric="minisblack")
    with pytest.raises(InvalidOption, match="single images"):
        io.read(tmp_path / "stack.tif", exposure=np.ones((4, 5)))
    with pytest.raises(InvalidOption, match="mask and exposure: each says"):
        io.read(image, mask=VISITED, exposure=VISITED)
    np.savez(tmp_path / "path.npz", intensity=np.ones((4, 5)), visited=VISITED)
    with pytest.raises(InvalidValue, match="SparseScan"):
        io.read(image, exposure=tmp_path / "path.npz")


def test_a_scan_path_survives_its_csv_and_serves_as_a_mask(image, tmp_path):
    from semrt.scan import generate

    planned = generate("random", (4, 5), 0.4, seed=3)
    io.write(tmp_path / "path.csv", planned)
    got = io.read(tmp_path / "path.csv")
    np.testing.assert_allclose(got.positions, planned.positions, atol=1e-3)
    np.testing.assert_array_equal(io.read(image, mask=tmp_path / "path.csv").visited, planned.visited)
    assert io.read(tmp_path / "path.csv", pixel_size="2nm").pixel_size == (2, 2)
    with pytest.raises(InvalidOption, match=r"path\.csv: says itself"):
        io.read(tmp_path / "path.csv", unvisited=0)
    with pytest.raises(UnsupportedFormat, match=r"write a \.csv"):
        io.write(tmp_path / "path.npz", planned)
    with pytest.raises(UnsupportedFormat):
        io.write(tmp_path / "image.csv", micrograph())
    assert not (tmp_path / "image.csv").exists()


def test_nan_and_a_chosen_value_mark_what_was_not_visited(tmp_path):
    values = np.array([[0, 1, np.nan], [2, np.nan, 0]], np.float32)
    np.save(tmp_path / "nan.npy", values)
    np.testing.assert_array_equal(io.read(tmp_path / "nan.npy").visited, [[1, 1, 0], [1, 0, 1]])
    np.save(tmp_path / "zero.npy", np.nan_to_num(values))
    np.testing.assert_array_equal(io.read(tmp_path / "zero.npy", unvisited=0).visited, [[0, 1, 0], [1, 0, 0]])
    assert isinstance(io.read(tmp_path / "zero.npy"), Micrograph)


@pytest.mark.parametrize("given_", [(0.3, 0.2), "0.3x0.2nm", "3 × 2 Å", "0.0003x0.0002µm"])
def test_a_given_pixel_size_replaces_that_of_the_file(given_, tmp_path):
    io.write(tmp_path / "a.tif", micrograph(pixel_size=(9, 9)))
    assert io.read(tmp_path / "a.tif", pixel_size=given_).pixel_size == pytest.approx((0.3, 0.2))


def test_a_number_is_a_square_pixel_in_nm(tmp_path):
    io.write(tmp_path / "a.npz", sparse())
    assert io.read(tmp_path / "a.npz", pixel_size=0.5).pixel_size == (0.5, 0.5)
    assert io.read(tmp_path / "a.npz", pixel_size="20pm").pixel_size == pytest.approx((0.02, 0.02))


@pytest.mark.parametrize("text", ["0.02", "nm", "0.02 furlong", "-1nm", "0nm", "1..2nm"])
def test_a_pixel_size_without_a_length_is_refused(text, image):
    with pytest.raises(InvalidOption, match=r"such as 0\.02nm"):
        io.read(image, pixel_size=text)


def test_a_mask_of_another_shape_is_refused_and_both_files_named(image, tmp_path):
    np.save(tmp_path / "mask.npy", np.ones((5, 4)))
    with pytest.raises(
        InvalidShape, match=r"mask.*mask\.npy: expected shape \(4, 5\), as .*image\.tif has, got \(5, 4\)"
    ):
        io.read(image, mask=tmp_path / "mask.npy")


def test_a_scan_that_visited_nothing_is_refused_by_name(image, tmp_path):
    np.save(tmp_path / "blank.npy", np.zeros((4, 5)))
    with pytest.raises(EmptyScan, match=r"blank\.npy"):
        io.read(image, mask=tmp_path / "blank.npy")
    with pytest.raises(EmptyScan, match=r"blank\.npy"):
        io.read(tmp_path / "blank.npy", unvisited=0)
    np.save(tmp_path / "nothing.npy", np.full((4, 5), np.nan))
    with pytest.raises(EmptyScan, match=r"nothing\.npy"):
        io.read(tmp_path / "nothing.npy")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_visited_pixel_must_hold_a_number(bad, tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1, bad]]))
    with pytest.raises(InvalidValue, match=r"a\.npy.*finite"):
        io.read(tmp_path / "a.npy", mask=np.ones((1, 2)))
    assert io.read(tmp_path / "a.npy", mask=[[1, 0]]).coverage == 0.5


def test_nan_in_a_file_that_says_what_was_visited_counts_as_not_visited(tmp_path):
    np.savez(tmp_path / "a.npz", intensity=np.ones((4, 5)), visited=np.where(VISITED, 1, np.nan))
    np.testing.assert_array_equal(io.read(tmp_path / "a.npz").visited, VISITED)
    np.savez(tmp_path / "b.npz", intensity=np.ones((3, 4, 5)), visited=np.where(VISITED, 1, np.nan))
    np.testing.assert_array_equal(io.read(tmp_path / "b.npz").visited, [VISITED] * 3)


@pytest.mark.parametrize("words", [np.where(VISITED, "yes", "no"), VISITED.astype(complex)])
def test_a_mask_that_holds_no_real_numbers_is_refused(words, image, tmp_path):
    np.savez(tmp_path / "a.npz", intensity=np.ones((4, 5)), visited=words)
    with pytest.raises(InvalidValue, match=r"a\.npz: visited: expected zero where .* got dtype (<U3|complex128)"):
        io.read(tmp_path / "a.npz")
    with pytest.raises(InvalidValue, match=r"mask: expected zero where .* got dtype (<U3|complex128)"):
        io.read(image, mask=words)


def test_contradictory_words_on_what_was_visited_are_refused(image, tmp_path):
    io.write(tmp_path / "scan.npz", sparse())
    with pytest.raises(InvalidOption, match="one of them"):
        io.read(image, mask=VISITED, unvisited=0)
    with pytest.raises(InvalidOption, match=r"scan\.npz: says itself"):
        io.read(tmp_path / "scan.npz", unvisited=0)


def test_an_image_with_nan_is_not_written_as_if_it_were_whole(tmp_path):
    with pytest.raises(InvalidValue, match="finite"):
        io.write(tmp_path / "a.tif", Micrograph(np.array([[1, np.nan]])))
    with pytest.raises(UnsupportedFormat, match=r"\.npz or \.tif"):
        io.write(tmp_path / "a.png", sparse())
    assert list(tmp_path.iterdir()) == []
