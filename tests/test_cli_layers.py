"""semrt infer on images at many energies: thickness, what lies beside it, and what is wrong with a stack."""

import json
import re

import cv2
import mrcfile
import numpy as np
import pytest
import tifffile

import semrt
from command import fails, run, waves, written
from layer_samples import ENERGIES, Trial, images, thickness
from semrt import io, scan
from semrt.data import EnergyStack, LayerMap, Micrograph, Volume
from semrt.tasks import TASKS

INPUT, USAGE = 3, 2
PIXEL_SIZE = (3.0, 2.0)
TOLD = {"energies_keV": ENERGIES.tolist(), "detector": "BSE"}


@pytest.fixture(autouse=True)
def _trial(monkeypatch):
    monkeypatch.setitem(TASKS, "trial", f"{Trial.__module__}:{Trial.__name__}")


@pytest.fixture
def stack(tmp_path):
    """A file of images that tells their energies, as simulated ones do."""
    path = tmp_path / "a stack µ.tif"
    io.write(path, Volume(images().intensity, PIXEL_SIZE, metadata=TOLD))
    return path


def bare(path, intensity=None):
    """A file of images alone."""
    tifffile.imwrite(path, images().intensity if intensity is None else intensity, photometric="minisblack")
    return path


def infer(source, out, *more, model="trial"):
    return run("infer", model, source, "-o", out, *more)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def table(path):
    return np.genfromtxt(path, delimiter=",", names=True)


# --- results


def test_thickness_has_its_sigma_voxels_and_record_beside_it(stack, tmp_path):
    done = infer(stack, tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'out' / 'a stack µ_trial.tif'}\n"
    assert done.stderr.startswith("1 stack with trial on the cpu")
    assert names(tmp_path / "out") == [
        "a stack µ_trial.semrt.json",
        "a stack µ_trial.tif",
        "a stack µ_trial_sigma.tif",
        "a stack µ_trial_voxels.tif",
    ]
    found = io.read(tmp_path / "out" / "a stack µ_trial.tif")
    np.testing.assert_array_equal(found.intensity, thickness())  # lower layer first
    assert found.pixel_size == pytest.approx(PIXEL_SIZE)
    assert (found.metadata["slices"], found.metadata["detector"]) == (["gold", "aluminium"], "BSE")
    assert found.provenance["model"]["name"] == "trial"
    sigma = io.read(tmp_path / "out" / "a stack µ_trial_sigma.tif")
    np.testing.assert_array_equal(sigma.intensity, np.where(thickness() > 0, np.float32(1.5), np.float32(0.5)))
    assert sigma.pixel_size == pytest.approx(PIXEL_SIZE)


def test_voxels_are_from_the_bottom_up_and_of_any_height(stack, tmp_path):
    infer(stack, tmp_path / "a.tif")
    infer(stack, tmp_path / "b.mrc", "--voxel", "2.5nm")
    with tifffile.TiffFile(tmp_path / "a_voxels.tif") as tiff:
        labels = tiff.asarray()
        assert tiff.imagej_metadata["spacing"] == 10
    assert (labels.dtype, labels.shape) == (np.uint8, (16, 24, 32))
    # Bottom right: 100 nm of aluminium are ten voxels of 10 nm; bottom left they lie upon one of gold.
    np.testing.assert_array_equal(labels[:, -1, -1], [2] * 10 + [0] * 6)
    np.testing.assert_array_equal(labels[:, -1, 0], [1] + [2] * 10 + [0] * 5)
    np.testing.assert_array_equal(labels[:, 0, 0], [1] + [0] * 15)
    with mrcfile.open(tmp_path / "b_voxels.mrc") as file:
        assert file.data.shape == (64, 24, 32)
        np.testing.assert_array_equal(file.data[:, -1, 0], [1] * 4 + [2] * 40 + [0] * 20)
        assert [float(file.voxel_size[axis]) for axis in "xyz"] == pytest.approx([20, 30, 25])


def test_an_npz_holds_the_whole_map_and_is_read_as_one(stack, tmp_path):
    infer(stack, tmp_path / "a.npz")
    assert names(tmp_path) == ["a stack µ.tif", "a.npz", "a.semrt.json", "a_voxels.mrc"]
    got, direct = io.read(tmp_path / "a.npz"), semrt.infer("trial", EnergyStack.from_volume(semrt.read(stack)))
    assert isinstance(got, LayerMap)
    for name in ("thickness", "sigma", "residual", "energies"):
        np.testing.assert_array_equal(getattr(got, name), getattr(direct, name), err_msg=name)
    assert got.pixel_size == pytest.approx(PIXEL_SIZE)
    shown = run("info", tmp_path / "a.npz")
    assert shown.exit_code == 0, shown.output
    assert re.search(r"layers\.gold\.max +10 nm\n", shown.stdout)


def test_save_chooses_what_goes_beside_the_thickness(stack, tmp_path):
    assert infer(stack, tmp_path / "a", "--save", "residual").exit_code == 0
    assert names(tmp_path / "a") == [
        "a stack µ_trial.semrt.json",
        "a stack µ_trial.tif",
        "a stack µ_trial_residual.csv",
    ]
    held = table(tmp_path / "a" / "a stack µ_trial_residual.csv")
    np.testing.assert_array_equal(held["energy_keV"], ENERGIES)
    np.testing.assert_allclose(held["rms_relative_residual"], 0.02, rtol=0.15)  # the noise
    assert infer(stack, tmp_path / "b", "--format", "mrc", "--save", "Sigma, voxels").exit_code == 0
    assert names(tmp_path / "b") == [
        "a stack µ_trial.mrc",
        "a stack µ_trial.semrt.json",
        "a stack µ_trial_sigma.mrc",
        "a stack µ_trial_voxels.mrc",
    ]


def test_the_record_says_how_much_of_either_there_is(stack, tmp_path):
    done = infer(stack, tmp_path, "--json", "--preview")
    assert done.exit_code == 0, done.stderr
    (entry,) = json.loads(done.stdout)["results"]
    # Gold lies on 10 of 32 columns, aluminium on half the rows; a pixel is of 3 nm by 2 nm.
    assert entry["layers"]["gold"] == {
        "covered_share": pytest.approx(10 / 32),
        "median_nm": 10,
        "max_nm": 10,
        "volume_nm3": pytest.approx(24 * 10 * 10 * 6),
        "mean_sigma_nm": 1.5,
    }
    assert entry["layers"]["aluminium"]["volume_nm3"] == pytest.approx(12 * 32 * 100 * 6)
    assert entry["misfit"]["rms_relative"] == pytest.approx(0.02, rel=0.02)
    assert entry["misfit"]["chi"] == pytest.approx(1, rel=0.02)
    assert entry["stack"]["shape"] == [31, 24, 32]
    assert entry["stack"]["energies_keV"] == ENERGIES.tolist()
    stem = str(tmp_path / "a stack µ_trial")
    assert (entry["output"], entry["preview"]) == (f"{stem}.tif", f"{stem}_preview.png")
    assert (entry["sigma"], entry["voxels"]) == (f"{stem}_sigma.tif", f"{stem}_voxels.tif")
    beside = json.loads((tmp_path / "a stack µ_trial.semrt.json").read_text(encoding="utf-8"))
    assert beside["layers"] == entry["layers"]
    assert beside["misfit"] == entry["misfit"]
    assert beside["input"]["sha256"]


def test_the_preview_is_drawn_and_spectra_make_it_longer(stack, tmp_path):
    infer(stack, tmp_path / "plain.tif", "--preview")
    infer(stack, tmp_path / "more.tif", "--spectra")
    plain, more = (cv2.imread(str(tmp_path / f"{name}_preview.png")) for name in ("plain", "more"))
    assert more.shape[0] > plain.shape[0] > 1500
    assert more.shape[1] == plain.shape[1]


@pytest.mark.parametrize("ending", [".tif", "_sigma.tif", "_voxels.tif", ".semrt.json", "_preview.png"])
def test_nothing_that_is_there_is_replaced_unasked(stack, tmp_path, ending):
    there = tmp_path / f"a stack µ_trial{ending}"
    there.write_bytes(b"precious")
    assert fails(infer(stack, tmp_path, "--preview"), INPUT, there.name, "already exists")
    assert there.read_bytes() == b"precious"


def test_a_library_of_simulated_stacks_is_gone_through_without_its_truths(tmp_path):
    drawn = run("simulate", "layers", "-n", 2, "--shape", "16x20", "-o", tmp_path)
    assert drawn.exit_code == 0, drawn.stderr
    done = infer(tmp_path, tmp_path / "out", "--save", "voxels", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert [entry["input"] for entry in told["results"]] == [str(tmp_path / f"layers_0000{k}.tif") for k in (0, 1)]
    assert json.loads(infer(tmp_path, tmp_path, "--json").stdout)["failures"] == []
    again = json.loads(infer(tmp_path, tmp_path, "--skip-existing", "--json").stdout)
    assert (again["results"], len(again["skipped"])) == ([], 2)


def test_notes_of_the_result_are_told(tmp_path):
    io.write(tmp_path / "a.npz", images(energies=ENERGIES[::2]))
    done = infer(tmp_path / "a.npz", tmp_path)
    assert f"semrt: note: {tmp_path / 'a.npz'}: tried six\n" in done.stderr


def test_options_reach_the_solver(stack, tmp_path):
    infer(stack, tmp_path / "a.npz")
    infer(stack, tmp_path / "b.npz", "--variant", "phys")
    repo, phys = (io.read(tmp_path / f"{name}.npz") for name in "ab")
    assert phys.residual.max() > 2 * repo.residual.max(), "the images are of the other physics"
    assert phys.provenance["options"] == {"variant": "phys"}


# --- energies


@pytest.mark.parametrize(
    "typed",
    [
        ",".join(f"{energy:g}" for energy in ENERGIES),
        "5:35",
        "5:35:1",
        "5 keV : 35 keV",
        " ".join(f"{energy:g}keV" for energy in ENERGIES),
        ",".join(f"{energy:.12f}" for energy in ENERGIES),  # longer than the name of a file may be
    ],
)
def test_energies_are_typed_as_a_list_or_a_range(typed, tmp_path):
    done = infer(bare(tmp_path / "a.tif"), tmp_path, "--energies", typed, "--json")
    assert done.exit_code == 0, done.stderr
    (entry,) = json.loads(done.stdout)["results"]
    assert entry["stack"]["energies_keV"] == ENERGIES.tolist()


def test_energies_come_from_a_text_file_with_one_a_line(tmp_path):
    lines = ["# keV", *(f"{energy:g}" for energy in ENERGIES), ""]
    (tmp_path / "energies µ.txt").write_text("\n".join(lines), encoding="utf-8")
    done = infer(bare(tmp_path / "a.tif"), tmp_path, "--energies", tmp_path / "energies µ.txt", "--json")
    assert json.loads(done.stdout)["results"][0]["stack"]["energies_keV"] == ENERGIES.tolist()


def test_a_range_may_have_any_step_and_replaces_what_the_file_says(stack, tmp_path):
    done = infer(stack, tmp_path, "--energies", "5:8:0.1", "--json")
    energies = json.loads(done.stdout)["results"][0]["stack"]["energies_keV"]
    np.testing.assert_allclose(energies, 5 + 0.1 * np.arange(31), rtol=1e-12)
    io.write(tmp_path / "b.npz", images())
    done = infer(tmp_path / "b.npz", tmp_path, "--energies", "10:40", "--json")
    assert json.loads(done.stdout)["results"][0]["stack"]["energies_keV"][0] == 10


@pytest.mark.parametrize("suffix", [".mrc", ".npy", ".npz"])
def test_every_format_of_stacks_is_read(suffix, tmp_path):
    io.write(tmp_path / f"a{suffix}", Volume(images().intensity))
    infer(tmp_path / f"a{suffix}", tmp_path / "out.npz", "--energies", "5:35")
    np.testing.assert_array_equal(io.read(tmp_path / "out.npz").thickness, thickness())


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("35:5", "expected FIRST:LAST:STEP in keV, rising"),
        ("5:35:0", "expected FIRST:LAST:STEP"),
        ("5:1e9", "expected energies in keV as 5,6,8"),
        ("5:99999999", "expected FIRST:LAST:STEP"),
        ("7,6,5", "expected rising energies; sort energies and images alike"),
        ("5,5", "expected rising energies"),
        ("0,5", "above zero"),
        ("-5,5", "expected energies in keV"),
        ("five", "or a text file with one a line"),
        ("missing.txt", "or a text file with one a line"),
        ("", "expected energies in keV"),
    ],
)
def test_energies_that_make_no_sense_are_named(typed, said, stack, tmp_path):
    assert fails(infer(stack, tmp_path / "out", "--energies", typed), USAGE, "--energies", said)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_text_gives_no_energies(stack, tmp_path):
    (tmp_path / "e.txt").write_bytes(b"\xff\xfe\x00\x81")
    assert fails(infer(stack, tmp_path / "out", "--energies", tmp_path / "e.txt"), INPUT, "e.txt: cannot be read")


# --- voxels


@pytest.mark.parametrize("typed", ["0nm", "0.05nm", "5x6nm", "ten", "-3", ""])
def test_voxels_that_make_no_sense_are_named(typed, stack, tmp_path):
    assert fails(infer(stack, tmp_path / "out", "--voxel", typed), USAGE, "--voxel", "such as 10nm")


def test_a_voxel_may_be_typed_without_its_unit(stack, tmp_path):
    assert infer(stack, tmp_path / "a.tif", "--voxel", "20").exit_code == 0
    assert io.read(tmp_path / "a_voxels.tif").shape == (8, 24, 32)  # 160 nm


# --- what is wrong with a stack


class TestAStackThatIsNone:
    def test_energies_that_nobody_said(self, tmp_path):
        refused = infer(bare(tmp_path / "a.tif"), tmp_path / "out")
        said = "a.tif: energies: expected one for each image [keV], got none; name all 31 with --energies, such as 5:35"
        assert fails(refused, INPUT, said)

    def test_another_number_of_energies(self, tmp_path):
        refused = infer(bare(tmp_path / "a.tif"), tmp_path / "out", "--energies", "5:30")
        assert fails(refused, INPUT, "a.tif: energies: expected shape (31,), as intensity has, got (26,)")

    @pytest.mark.parametrize("energies", [("--energies", "5:35"), ()])
    def test_axes_in_another_order(self, tmp_path, energies):
        turned = np.repeat(np.repeat(np.moveaxis(images().intensity, 0, -1), 5, 0), 4, 1)  # (120, 128, 31)
        refused = infer(bare(tmp_path / "a.tif", turned), tmp_path / "out", *energies)
        said = "its axes seem to be (ny, nx, n): save it as (n, ny, nx), such as by np.moveaxis(stack, -1, 0)"
        assert fails(refused, INPUT, "a.tif: energies: expected", said)

    def test_energies_out_of_order_in_the_file(self, tmp_path):
        told = {"energies_keV": ENERGIES[::-1].tolist()}
        io.write(tmp_path / "a.tif", Volume(images().intensity[::-1], metadata=told))
        refused = infer(tmp_path / "a.tif", tmp_path / "out")
        assert fails(refused, INPUT, "a.tif: energies: expected rising values [keV]", "sort energies and images alike")

    @pytest.mark.parametrize("told", [(), ("--energies", "20"), ("--energies", "5:35")])
    def test_one_image(self, tmp_path, told):
        refused = infer(bare(tmp_path / "a.tif", images().intensity[0]), tmp_path / "out", *told)
        said = "expected a stack of images at several beam energies, got a single image; save the images of all"
        assert fails(refused, INPUT, f"a.tif: {said}")

    def test_negative_signal(self, tmp_path):
        signal = images().intensity.copy()
        signal[3, 4, 5:8] = -0.01
        refused = infer(bare(tmp_path / "a.tif", signal), tmp_path / "out", "--energies", "5:35")
        said = "a.tif: intensity: expected zero or more, got negative ones in 3 of 768 pixels; correct the detector"
        assert fails(refused, INPUT, said)

    def test_pixels_that_are_no_numbers(self, tmp_path):
        signal = images().intensity.copy()
        signal[3:9, 4, 5] = np.nan
        signal[0, 0, 0] = np.nan
        refused = infer(bare(tmp_path / "a.tif", signal), tmp_path / "out", "--energies", "5:35")
        assert fails(refused, INPUT, "a.tif: intensity: expected finite values, got", "in 2 of 768 pixels; crop or")

    def test_pixels_that_are_infinite(self, tmp_path):
        signal = images().intensity.copy()
        signal[3, 4, 5] = np.inf
        refused = infer(bare(tmp_path / "a.tif", signal), tmp_path / "out", "--energies", "5:35")
        assert fails(refused, INPUT, "a.tif: intensity of slice z=3: expected finite values")

    def test_an_image_of_nothing_but_nan(self, tmp_path):
        signal = images().intensity.copy()
        signal[3] = np.nan
        refused = infer(bare(tmp_path / "a.tif", signal), tmp_path / "out", "--energies", "5:35")
        assert fails(refused, INPUT, "a.tif", "z=3")

    def test_counts_instead_of_fractions_of_the_beam(self, tmp_path):
        counts = np.rint(40000 * images().intensity).astype(np.uint16)
        refused = infer(bare(tmp_path / "a.tif", counts), tmp_path / "out", "--energies", "5:35")
        assert fails(refused, INPUT, "fractions of the beam, 0 to 1, got counts of 2", "divide them by")

    def test_a_sparse_scan_a_scan_path_and_a_map_of_layers(self, tmp_path):
        refused = infer(written(tmp_path / "scan.npz"), tmp_path / "out")
        assert fails(refused, INPUT, "several beam energies, got a single scan with gaps")
        io.write(tmp_path / "path.csv", scan.generate("random", (32, 32), 0.1))
        assert fails(infer(tmp_path / "path.csv", tmp_path / "out"), INPUT, "got positions of a probe")
        io.write(tmp_path / "map.npz", LayerMap(thickness()))
        refused = infer(tmp_path / "map.npz", tmp_path / "out")
        assert fails(refused, INPUT, "got thickness of layers; give what it was found from")

    def test_a_mask_is_not_for_it(self, stack, tmp_path):
        io.write(tmp_path / "mask.tif", Micrograph((waves((24, 32)) > 0.5).astype(np.float32)))
        refused = infer(stack, tmp_path / "out", "--mask", tmp_path / "mask.tif")
        assert fails(refused, INPUT, "expected finite values, got")
        io.write(tmp_path / "b.npz", images())
        refused = infer(tmp_path / "b.npz", tmp_path / "out", "--mask", tmp_path / "mask.tif")
        assert fails(refused, USAGE, "b.npz", "leave out mask")


def test_other_models_say_what_they_cannot_do_with_energies(stack, tmp_path):
    io.write(tmp_path / "b.npz", images())
    refused = infer(tmp_path / "b.npz", tmp_path / "out", model="kriging")
    assert fails(refused, INPUT, "got images at several beam energies; give them to semrt infer layers")
    sparse = written(tmp_path / "scan.npz")
    refused = infer(sparse, tmp_path / "out", "--energies", "5:35", model="kriging")
    assert fails(refused, USAGE, "--energies: kriging takes no images at several beam energies; leave it out")
    refused = infer(sparse, tmp_path / "out", "--voxel", "10nm", model="kriging")
    assert fails(refused, USAGE, "--voxel: kriging leaves no choice; leave it out")


def test_results_are_stacks_or_whole_maps(stack, tmp_path):
    assert fails(infer(stack, tmp_path / "out", "--format", "png"), USAGE, "output format '.png'", ".mrc", ".npz")
    assert fails(infer(stack, tmp_path / "out", "--save", "sigmas"), USAGE, "'sigmas' is unknown; did you mean 'sigma'")
    assert not (tmp_path / "out").exists()
