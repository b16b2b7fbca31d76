"""semrt infer on images of atomic columns: the table, what lies beside it, and what is wrong with an image."""

import json
import sys

import cv2
import numpy as np
import pytest
import tifffile

import semrt
from column_models import column_model
from command import fails, run, written
from semrt import io, scan
from semrt.data import Micrograph
from semrt.simulate.columns import Imaging, Specimen, record

INPUT, USAGE, DEVICE = 3, 2, 5
PIXEL_SIZE = 0.02


@pytest.fixture(scope="module")
def crystal():
    """An image with its truth, in whole counts."""
    imaging = Imaging(probe_sigma=2.8, dose=300.0, level=0.1)
    return record(Specimen("square", 14.0, angle=12), imaging, (120, 150), np.random.default_rng(0), bound=False)


@pytest.fixture
def image(tmp_path, crystal):
    """A file of it with a space and a µ in its name."""
    path = tmp_path / "an image µ.tif"
    io.write(path, Micrograph(crystal.counts, PIXEL_SIZE, metadata={"detector": "HAADF"}))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return column_model(tmp_path_factory.mktemp("columns"))


def infer(image, out, *more, model="column-peaks"):
    return run("infer", model, image, "-o", out, "--threads", 1, *more)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def held(path):
    return np.genfromtxt(path, delimiter=",", names=True)


def test_a_table_has_its_map_denoised_image_and_provenance_beside_it(image, model, tmp_path, crystal):
    done = infer(image, tmp_path / "out", model=model)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'out' / 'an image µ_columns.csv'}\n"
    assert done.stderr.startswith("1 image with columns on cpu")
    assert names(tmp_path / "out") == [
        "an image µ_columns.csv",
        "an image µ_columns.semrt.json",
        "an image µ_columns_denoised.tif",
        "an image µ_columns_map.tif",
    ]
    for ending in ("map", "denoised"):
        beside = io.read(tmp_path / "out" / f"an image µ_columns_{ending}.tif")
        assert beside.shape == crystal.shape
        assert beside.pixel_size == pytest.approx((PIXEL_SIZE, PIXEL_SIZE))
        assert beside.provenance["model"]["name"] == "columns"
        assert beside.metadata["detector"] == "HAADF"


def test_the_table_holds_what_the_api_finds(image, model, tmp_path, crystal):
    infer(image, tmp_path / "out.csv", model=model)
    found = semrt.infer(model, semrt.read(image), threads=1)
    table = held(tmp_path / "out.csv")
    assert len(table) == len(found) > 60
    for name, values in found.table().items():
        np.testing.assert_allclose(table[name], values, rtol=6e-3, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(table["x_nm"], PIXEL_SIZE * table["x_px"], atol=1e-6)


def test_the_record_says_how_many_how_far_apart_and_how_well_known(image, tmp_path):
    done = infer(image, tmp_path, "--json", "--preview")
    assert done.exit_code == 0, done.stderr
    (entry,) = json.loads(done.stdout)["results"]
    table = held(tmp_path / "an image µ_column-peaks.csv")
    assert entry["columns"]["number"] == len(table)
    assert entry["columns"]["spacing_px"] == pytest.approx(14, rel=0.03)
    assert entry["columns"]["spacing_nm"] == pytest.approx(PIXEL_SIZE * entry["columns"]["spacing_px"])
    sigma = np.sqrt((table["sigma_y_px"] ** 2 + table["sigma_x_px"] ** 2) / 2)
    assert entry["columns"]["median_sigma_px"] == pytest.approx(np.median(sigma), rel=0.01)
    assert entry["image"] == {"shape": [120, 150], "pixel_size_nm": [PIXEL_SIZE, PIXEL_SIZE]}
    assert entry["notes"] == []
    stem = str(tmp_path / "an image µ_column-peaks")
    assert {role: entry[role] for role in ("output", "map", "denoised", "rois", "preview", "provenance")} == {
        "output": f"{stem}.csv",
        "map": f"{stem}_map.tif",
        "denoised": f"{stem}_denoised.tif",
        "rois": None,
        "preview": f"{stem}_preview.png",
        "provenance": f"{stem}.semrt.json",
    }
    beside = json.loads((tmp_path / "an image µ_column-peaks.semrt.json").read_text(encoding="utf-8"))
    assert beside["columns"] == entry["columns"]
    assert beside["details"]["estimated_spacing_px"] == pytest.approx(14, rel=0.05)


def test_save_chooses_what_goes_beside_the_table(image, tmp_path):
    pytest.importorskip("roifile")
    assert infer(image, tmp_path / "a", "--save", "csv").exit_code == 0
    assert names(tmp_path / "a") == ["an image µ_column-peaks.csv", "an image µ_column-peaks.semrt.json"]
    assert infer(image, tmp_path / "b", "--save", "csv, Map,rois").exit_code == 0
    assert names(tmp_path / "b") == [
        "an image µ_column-peaks.csv",
        "an image µ_column-peaks.semrt.json",
        "an image µ_column-peaks_map.tif",
        "an image µ_column-peaks_rois.zip",
    ]


def test_what_cannot_be_saved_is_refused_before_the_work(image, tmp_path, monkeypatch):
    assert fails(infer(image, tmp_path / "out", "--save", "maps"), USAGE, "'maps' is unknown; did you mean 'map'?")
    monkeypatch.setitem(sys.modules, "roifile", None)
    assert fails(infer(image, tmp_path / "out", "--save", "rois"), DEVICE, "roifile", "semrt[formats]")
    sparse = written(tmp_path / "scan.npz")
    refused = infer(sparse, tmp_path / "out", "--save", "map", model="kriging")
    assert fails(refused, USAGE, "--save map: kriging leaves no choice; leave it out")
    assert not (tmp_path / "out").exists()


def test_tables_are_csv(image, tmp_path):
    assert fails(infer(image, tmp_path / "out", "--format", "tif"), USAGE, "output format '.tif'", ".csv")
    assert fails(infer(image, tmp_path / "out.tif"), USAGE, "output format '.tif'", ".csv")
    assert infer(image, tmp_path / "out", "--format", "csv").exit_code == 0


@pytest.mark.parametrize("ending", [".csv", "_map.tif", "_denoised.tif", ".semrt.json", "_preview.png"])
def test_nothing_that_is_there_is_replaced_unasked(image, tmp_path, ending):
    there = tmp_path / f"an image µ_column-peaks{ending}"
    there.write_bytes(b"precious")
    assert fails(infer(image, tmp_path, "--preview"), INPUT, there.name, "already exists")
    assert there.read_bytes() == b"precious"
    assert infer(image, tmp_path, "--preview", "--overwrite").exit_code == 0
    assert there.read_bytes() != b"precious"


def test_a_folder_is_gone_through_once_and_its_results_are_no_inputs(image, tmp_path, crystal):
    tifffile.imwrite(tmp_path / "b.tif", crystal.counts)
    assert infer(tmp_path, tmp_path).exit_code == 0
    again = infer(tmp_path, tmp_path, "--skip-existing", "--json")
    assert again.exit_code == 0, again.stderr
    told = json.loads(again.stdout)
    assert told["results"] == []
    assert len(told["skipped"]) == 2


def test_without_a_pixel_size_all_is_told_in_pixels(tmp_path, crystal):
    np.save(tmp_path / "c.npy", crystal.counts)
    infer(tmp_path / "c.npy", tmp_path)
    assert "y_nm" not in held(tmp_path / "c_column-peaks.csv").dtype.names
    infer(tmp_path / "c.npy", tmp_path / "nm", "--pixel-size", "20pm")
    assert "y_nm" in held(tmp_path / "nm" / "c_column-peaks.csv").dtype.names


def test_the_preview_shows_columns_map_and_histogram_and_spectra_make_it_longer(image, tmp_path):
    infer(image, tmp_path / "plain.csv", "--preview")
    infer(image, tmp_path / "more.csv", "--spectra")
    plain, more = (cv2.imread(str(tmp_path / f"{name}_preview.png")) for name in ("plain", "more"))
    assert more.shape[0] > plain.shape[0] > 2 * 3 * 120  # two rows of pictures, each enlarged three times
    assert more.shape[1] == plain.shape[1]


def test_options_reach_the_model_and_others_are_named(image, tmp_path):
    infer(image, tmp_path / "a.csv", "--set", "min_distance=25")
    infer(image, tmp_path / "b.csv")
    assert len(held(tmp_path / "a.csv")) < len(held(tmp_path / "b.csv")) / 2
    assert fails(
        infer(image, tmp_path / "out", "--set", "min_distance=0"), USAGE, "min_distance: expected 1 px or more"
    )
    assert fails(infer(image, tmp_path / "out", "--set", "radius=3"), USAGE, "option 'radius' is unknown", "threshold")
    assert fails(infer(image, tmp_path / "out", "--denoise"), USAGE, "option 'denoise' is unknown")


class TestAnImageThatIsNone:
    def test_a_flat_one_gives_an_empty_table_and_says_so(self, tmp_path, model):
        np.save(tmp_path / "flat.npy", np.full((64, 80), 7.0, np.float32))
        for name in (model, "column-peaks"):
            done = infer(tmp_path / "flat.npy", tmp_path / "out", "--preview", "--overwrite", model=name)
            assert done.exit_code == 0, done.stderr
            assert "flat.npy: no columns found: the image is flat, 7 everywhere" in done.stderr
        assert len((tmp_path / "out" / "flat_columns.csv").read_text(encoding="utf-8").splitlines()) == 1

    def test_noise_alone_gives_few_columns_and_says_so(self, tmp_path):
        noise = np.random.default_rng(0).poisson(20, (200, 220)).astype(np.float32)
        np.save(tmp_path / "noise.npy", noise)
        done = infer(tmp_path / "noise.npy", tmp_path / "out", "--json")
        assert done.exit_code == 0, done.stderr
        (entry,) = json.loads(done.stdout)["results"]
        (note,) = entry["notes"]
        assert note.startswith(("few columns or none: no spacing was seen", "no columns found"))
        assert f"{tmp_path / 'noise.npy'}: {note}" in done.stderr
        assert entry["columns"]["number"] < 20

    def test_saturated_counts_are_told(self, tmp_path, crystal):
        clipped = np.minimum(crystal.counts, np.percentile(crystal.counts, 98)).astype(np.uint16)
        tifffile.imwrite(tmp_path / "s.tif", clipped)
        done = infer(tmp_path / "s.tif", tmp_path / "out")
        assert done.exit_code == 0
        assert (
            f"s.tif: {np.count_nonzero(clipped == clipped.max())} pixels are clipped at {clipped.max()}" in done.stderr
        )

    def test_colours_are_refused(self, tmp_path):
        colours = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
        tifffile.imwrite(tmp_path / "rgb.tif", colours, photometric="rgb")
        assert fails(infer(tmp_path / "rgb.tif", tmp_path / "out"), INPUT, "rgb.tif", "colour")

    def test_two_pixels_are_too_few(self, tmp_path, model):
        np.save(tmp_path / "thin.npy", np.ones((300, 2), np.float32))
        for name in (model, "column-peaks"):
            refused = infer(tmp_path / "thin.npy", tmp_path / "out", model=name)
            assert fails(refused, INPUT, "thin.npy", "at least (16, 16)", "got (300, 2)")

    def test_gaps_are_to_be_filled_first(self, tmp_path, crystal):
        gaps = crystal.counts.copy()
        gaps[3, 4] = np.nan
        np.save(tmp_path / "gaps.npy", gaps)
        refused = infer(tmp_path / "gaps.npy", tmp_path / "out")
        assert fails(
            refused, INPUT, "gaps.npy: expected an image in which every pixel was measured", "semrt infer infill"
        )

    def test_a_stack_is_to_be_taken_apart(self, tmp_path, crystal):
        np.save(tmp_path / "stack.npy", np.stack([crystal.counts] * 3))
        refused = infer(tmp_path / "stack.npy", tmp_path / "out")
        assert fails(refused, INPUT, "expected a single image, got a stack of 3 slices; column-peaks takes one image")

    def test_a_scan_path_is_no_image(self, tmp_path):
        io.write(tmp_path / "path.csv", scan.generate("random", (32, 32), 0.1))
        assert fails(infer(tmp_path / "path.csv", tmp_path / "out"), INPUT, "path.csv", "give the image itself")
