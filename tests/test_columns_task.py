"""The columns task around its network: from an image to what the network sees, and from its map to columns."""

import dataclasses

import numpy as np
import pytest

import semrt
from column_models import DOMAIN, column_model
from semrt import models
from semrt.data import AtomColumns, Micrograph, SparseScan
from semrt.errors import InvalidOption, InvalidShape, InvalidValue, ModelDamaged, ModelUnsuitable
from semrt.models import Manifest
from semrt.simulate.columns import Imaging, Specimen, cases, record
from semrt.tasks.column_input import INPUT_CHANNELS, OUTPUT_CHANNELS, network_input, resampled
from semrt.tasks.column_spacing import column_spacing
from semrt.tasks.columns import Columns


def a_crystal(shape=(160, 192), *, spacing=14.0, structure="square", seed=0, **imaging):
    """An image of a crystal with its truth."""
    described = {"probe_sigma": spacing / 5, "dose": 200.0, "level": 0.1, "read_noise": 1.0} | imaging
    specimen = Specimen(structure, spacing, angle=12)
    return record(specimen, Imaging(**described), shape, np.random.default_rng(seed), bound=False)


def answer(image, seen):
    """What a perfect network answers: disks about the true columns, and the columns without noise and background."""
    h, w = seen.planes.shape[1:]
    y, x = seen.to_planes(image.y, image.x)
    rows, columns = np.indices((h, w))
    drawn = np.zeros((h, w), np.float32)
    radius = 0.32 * image.spacing * seen.scale[0]
    for at_y, at_x in zip(y, x, strict=True):
        drawn = np.maximum(drawn, np.clip(radius + 0.5 - np.hypot(rows - at_y, columns - at_x), 0, 1))
    perfect = {"columns": drawn, "clean": resampled(image.clean, (h, w)) / np.float32(seen.spread)}
    return np.stack([perfect[name] for name in OUTPUT_CHANNELS]).astype(np.float32)


def finished(image, **options):
    """The columns that the task makes of a perfect network's answer."""
    micrograph = Micrograph(image.counts, image.pixel_size, metadata={"detector": "HAADF"})
    seen = network_input(image.counts, spacing=options.get("spacing"))
    return Columns().finish(answer(image, seen), seen.planes, micrograph, **options)


def matched(found, image, within=0.35):
    """Distance of each true column that counts to the nearest one found [px], and how many found are none.

    Along the border there may be more: what shows there of columns beyond it.
    """
    true = np.stack([image.y, image.x], 1)
    distance = np.hypot(*(found.positions[:, None] - true).transpose(2, 0, 1))
    inside = np.minimum(found.positions, np.array(image.shape) - 1 - found.positions).min(1) > 2 * image.probe_sigma
    ghosts = int((inside & (distance.min(1) > within * image.spacing)).sum())
    return distance.min(0)[image.counted()], ghosts


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return column_model(tmp_path_factory.mktemp("columns"))


def test_columns_are_found_where_they_are_whatever_the_scale_of_the_image():
    for spacing in (7.0, 14.0, 31.0):
        image = a_crystal((12 * int(spacing), 9 * int(spacing)), spacing=spacing, seed=1)
        found = finished(image)
        distance, ghosts = matched(found, image)
        assert ghosts == 0
        assert distance.max() < 0.1 * spacing
        assert found.spacing == pytest.approx(spacing, rel=0.03)


def test_the_result_carries_images_calibration_and_metadata_of_the_input():
    image = a_crystal()
    found = finished(image)
    assert isinstance(found, AtomColumns)
    assert found.shape == found.column_map.shape == found.denoised.shape == image.shape
    assert found.pixel_size == pytest.approx(image.pixel_size)
    assert found.metadata == {"detector": "HAADF"}
    assert found.notes == ()
    assert 0 <= found.column_map.min() < 0.1
    assert 0.9 < found.column_map.max() <= 1
    # Resampled twice, the denoised image still has the counts of the true one.
    assert np.sqrt(np.mean((found.denoised - image.clean) ** 2)) < 0.05 * image.clean.max()
    assert found.provenance["estimated_spacing_px"] == pytest.approx(image.spacing, rel=0.1)


def test_prepare_gives_the_network_what_training_gave_it():
    image = a_crystal()
    np.testing.assert_array_equal(Columns().prepare(Micrograph(image.counts)), network_input(image.counts).planes)
    other = Columns().prepare(Micrograph(image.counts), spacing=7.0)
    assert other.shape == network_input(image.counts, spacing=7.0).planes.shape


def test_contrast_and_offset_of_the_detector_change_intensities_alone():
    image = a_crystal()
    one = finished(image, places="map")
    seen = network_input(image.counts)
    brighter = Micrograph(1000 + 4 * image.counts)
    again = network_input(brighter.intensity)
    other = Columns().finish(answer(image, seen), again.planes, brighter, places="map")
    np.testing.assert_allclose(other.positions, one.positions, atol=1e-3)
    np.testing.assert_allclose(other.intensity, 4 * one.intensity, rtol=1e-2)


@pytest.mark.parametrize("dose", [5.0, 20.0])
def test_finely_sampled_columns_are_found_though_filtered_noise_passes_for_nearer_ones(dose):
    image = a_crystal((300, 320), spacing=40.0, dose=dose, level=0.5, smoothing=(2.0, 2.0))
    assert column_spacing(image.counts, default=12).spacing == pytest.approx(40, rel=0.1)
    found = semrt.infer("column-peaks", Micrograph(image.counts))
    distance, ghosts = matched(found, image)
    assert ghosts == 0
    assert distance.max() < 4


def test_a_spacing_that_is_given_replaces_the_estimate():
    image = a_crystal()
    found = finished(image, spacing=10.0)
    assert found.provenance["estimated_spacing_px"] == 10
    assert matched(found, image)[0].max() < 1


def test_the_least_distance_and_the_threshold_thin_columns_out():
    image = a_crystal()
    every = finished(image)
    apart = finished(image, min_distance=1.2 * image.spacing)
    assert apart.nearest_distances().min() >= 1.1 * image.spacing
    assert len(apart) < 0.7 * len(every)
    assert len(finished(image, threshold=1.5)) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_distance": 0.5}, "min_distance: expected 1 px or more"),
        ({"min_distance": np.nan}, "min_distance: expected 1 px or more"),
        ({"threshold": -1.0}, "threshold: expected a score"),
        ({"spacing": 0.0}, "spacing: expected px above zero"),
    ],
)
def test_options_out_of_range_are_refused_in_one_line(options, message):
    image = Micrograph(a_crystal().counts)
    with pytest.raises(InvalidOption, match=message):
        semrt.infer("column-peaks", image, **options)


@pytest.mark.parametrize(("spacing", "outside"), [(2.5, True), (3.5, False), (30.0, False), (400.0, True)])
def test_columns_nearer_or_farther_apart_than_was_trained_are_told(spacing, outside):
    # 0.5 to 2 times 12 px is what the network may see of columns; it sees images at 1/16 to 2 times their scale.
    said = Columns().outside_domain(Micrograph(a_crystal().counts), DOMAIN, spacing=spacing)
    assert (said is not None) == outside
    if outside:
        assert said == f"columns {spacing:.3g} px apart lie outside the trained 3 to 384 px"


def test_an_image_without_columns_is_not_outside_of_anything():
    assert Columns().outside_domain(Micrograph(np.ones((80, 80))), DOMAIN) is None


def test_the_classical_method_stands_in_where_the_network_was_not_trained(tmp_path):
    image = a_crystal((80, 90), spacing=5.0)
    model = column_model(
        tmp_path, domain=DOMAIN | {"spacing_error": [0.9, 2.0]}
    )  # 10.8 px, of an image at twice its scale
    with pytest.warns(
        UserWarning, match=r"columns \S+ px apart lie outside the trained 5.4 .* column-peaks runs instead"
    ):
        found = semrt.infer(model, Micrograph(image.counts))
    assert found.provenance["fallback"]["solver"] == "column-peaks"
    assert matched(found, image)[0].max() < 1
    with pytest.raises(ModelUnsuitable, match="outside the trained"):
        semrt.infer(model, Micrograph(image.counts), fallback="none")


def test_a_manifest_that_says_nothing_of_the_spacing_is_damaged(tmp_path):
    with pytest.raises(ModelDamaged, match="says nothing of"):
        semrt.infer(column_model(tmp_path, domain={}), Micrograph(a_crystal().counts))


def test_tiles_find_what_the_whole_image_does(model):
    image = Micrograph(a_crystal((230, 250)).counts)
    whole, tiled = (semrt.infer(model, image, device="cpu", tile=tile) for tile in (256, 64))
    assert tiled.provenance["tiling"]["tiles"] > whole.provenance["tiling"]["tiles"] == 1
    assert len(tiled) == len(whole) > 200
    np.testing.assert_allclose(tiled.positions, whole.positions, atol=1e-3)
    np.testing.assert_allclose(tiled.column_map, whole.column_map, atol=1e-4)


def test_threads_do_not_change_what_is_found(model):
    image = Micrograph(a_crystal().counts)
    one, three = (semrt.infer("column-peaks", image, threads=n) for n in (1, 3))
    np.testing.assert_array_equal(one.positions, three.positions)


@pytest.mark.parametrize(
    ("intensity", "error", "message"),
    [
        (np.ones((300, 2)), InvalidShape, r"image: expected shape at least \(16, 16\), got \(300, 2\)"),
        (np.full((40, 40), np.nan), InvalidValue, "semrt infer infill"),
    ],
)
def test_what_is_no_image_of_columns_is_refused_in_one_line(model, intensity, error, message):
    for name in (model, "column-peaks"):
        with pytest.raises(error, match=message) as refused:
            semrt.infer(name, Micrograph(intensity))
        assert "\n" not in str(refused.value)
    with pytest.raises(InvalidValue, match="expected a Micrograph"):
        semrt.infer(model, SparseScan(np.ones((40, 40)), np.ones((40, 40))))


def test_a_flat_image_gives_no_columns_and_says_why(model):
    for name in (model, "column-peaks"):
        with pytest.warns(UserWarning, match="no columns found: the image is flat, 3 everywhere"):
            found = semrt.infer(name, Micrograph(np.full((40, 50), 3.0)))
        assert len(found) == 0
        assert found.notes == ("no columns found: the image is flat, 3 everywhere",)


def test_clipped_counts_are_told_and_counts_near_zero_are_not_taken_for_clipped():
    image = a_crystal(dose=3.0)  # whole counts of 0 to about 10: many pixels share the largest value
    assert finished(image).notes == ()
    clipped = np.minimum(a_crystal(dose=1000.0).counts, 700)
    with pytest.warns(UserWarning, match="pixels are clipped at 700"):
        found = semrt.infer("column-peaks", Micrograph(clipped))
    assert any(note.startswith(f"{np.count_nonzero(clipped == 700)} pixels are clipped at 700") for note in found.notes)


def test_the_fit_to_the_counts_places_columns_as_well_as_the_noise_allows_and_says_how_well():
    image = record(
        Specimen("square", 14, angle=12),
        Imaging(probe_sigma=2.8, dose=200.0, level=0.1, read_noise=1.0),
        (160, 192),
        np.random.default_rng(3),
    )
    fitted, rough = finished(image), finished(image, places="map")
    bound = np.sqrt(np.mean(image.crlb_y[image.counted()] ** 2 + image.crlb_x[image.counted()] ** 2))
    ratio = np.sqrt(np.mean(matched(fitted, image)[0] ** 2)) / bound
    assert 0.85 < ratio < 1.15  # 130 columns: the root mean square of their errors scatters by 6 %
    assert np.median(fitted.sigma) == pytest.approx(bound / np.sqrt(2), rel=0.15)
    assert np.isnan(rough.sigma).all()
    # What a column's peak is worth, and what lies under it.
    nearest = np.hypot(*(image_positions(image)[:, None] - fitted.positions).transpose(2, 0, 1)).argmin(1)
    counted = image.counted()
    np.testing.assert_allclose(fitted.intensity[nearest[counted]], image.intensity[counted], rtol=0.35)
    assert np.median(fitted.intensity[nearest] / image.intensity) == pytest.approx(1, abs=0.02)
    assert np.median(fitted.background) == pytest.approx(np.median(image.background), rel=0.1)


def image_positions(image):
    return np.stack([image.y, image.x], 1)


def test_light_columns_that_the_map_lacks_are_found_in_what_the_fit_leaves_over():
    specimen, imaging = Specimen("perovskite-100", 13, angle=9), Imaging(2.6, dose=800.0, light=0.3, level=0.1)
    image = record(specimen, imaging, (150, 150), np.random.default_rng(4), bound=False)
    micrograph, seen = Micrograph(image.counts), network_input(image.counts)
    heavy = image.species != "O"
    blind = dataclasses.replace(image, y=image.y[heavy], x=image.x[heavy])  # as a network that sees no light ones
    every, heavy_ones = (
        Columns().finish(answer(blind, seen), seen.planes, micrograph, light_columns=light) for light in (True, False)
    )
    light = image.counted() & ~heavy
    at = image_positions(image)[light]
    near = [np.hypot(*(at[:, None] - found.positions).transpose(2, 0, 1)).min(1) < 1 for found in (every, heavy_ones)]
    assert near[0].mean() > 0.97
    assert near[1].mean() < 0.1
    assert matched(every, image)[1] == 0
    assert every.provenance["found_in_the_residual"] == len(every) - len(heavy_ones) > 50
    assert every.score[: len(heavy_ones)].min() > every.score[len(heavy_ones) :].max(), "the surest come first"


def test_a_doubtful_disk_is_a_column_only_where_the_counts_bear_it_out():
    image = a_crystal()
    seen = network_input(image.counts)
    drawn = answer(image, seen)
    inside = (np.minimum(image_positions(image), np.array(image.shape) - 1 - image_positions(image)) > 20).all(1)
    inside &= np.arange(len(inside)) % 5 == 0
    step = 7 * np.sqrt(2) * np.array([np.sin(np.radians(57)), np.cos(np.radians(57))])  # to the middle of a cell
    between = dataclasses.replace(image, y=image.y[inside] + step[0], x=image.x[inside] + step[1])
    ghosts = np.maximum(drawn[0], 0.6 * answer(between, seen)[0])
    found, rough = (
        Columns().finish(np.stack([ghosts, drawn[1]]), seen.planes, Micrograph(image.counts), places=places)
        for places in ("best", "map")
    )
    distance, wrong = matched(found, image)
    assert wrong == 0
    assert distance.max() < 1
    assert matched(rough, image)[1] >= 3


def test_where_noise_rules_the_network_has_a_say_in_where_columns_are_unless_it_is_left_out_of_it():
    image = a_crystal(dose=8.0)
    best, counts = (finished(image, places=places) for places in ("best", "counts"))
    off = [np.sqrt(np.mean(matched(found, image)[0] ** 2)) for found in (best, counts)]
    assert off[0] < 0.9 * off[1]  # the map here knows the truth to a pixel's part
    assert np.median(best.sigma) < np.median(counts.sigma)


def test_what_only_the_counts_show_keeps_the_least_distance_too():
    specimen, imaging = Specimen("perovskite-100", 13, angle=9), Imaging(2.6, dose=800.0, light=0.3, level=0.1)
    image = record(specimen, imaging, (150, 150), np.random.default_rng(4), bound=False)
    seen, heavy = network_input(image.counts), image.species != "O"
    blind = dataclasses.replace(image, y=image.y[heavy], x=image.x[heavy])
    found = Columns().finish(
        answer(blind, seen), seen.planes, Micrograph(image.counts), light_columns=True, min_distance=11.0
    )
    assert found.nearest_distances().min() > 10


def test_noise_that_looked_like_columns_is_left_out_by_its_significance():
    noise = np.random.default_rng(5).poisson(20, (160, 160)).astype(np.float32)
    with pytest.warns(UserWarning, match="columns"):
        fitted, rough = (
            semrt.infer("column-peaks", Micrograph(noise), threshold=0.1, places=places) for places in ("counts", "map")
        )
    assert len(fitted) < len(rough)
    assert fitted.notes[0].startswith(("few columns or none: no spacing was seen", "no columns found"))


class TestTheShippedModel:
    def test_is_the_one_its_manifest_describes_and_was_trained_on_these_channels(self):
        folder = models.find("columns")
        manifest = Manifest.read(folder)
        manifest.verify(folder)
        assert tuple(manifest.input_channels) == INPUT_CHANNELS
        assert tuple(manifest.output_channels) == OUTPUT_CHANNELS
        assert set(DOMAIN) <= set(manifest.domain)

    @pytest.mark.parametrize("name", ["square-starved", "dumbbells-clean", "perovskite-faint", "graphene-starved"])
    def test_finds_the_columns_of_the_test_set_which_training_never_drew(self, name):
        image = cases(1)[name].image(bound=False)
        found = semrt.infer("columns", Micrograph(image.counts), device="cpu")
        distance, ghosts = matched(found, image)
        hits = int((distance < 0.35 * image.spacing).sum())
        assert 2 * hits / (len(distance) + hits + ghosts) > 0.98

    @pytest.mark.slow
    def test_tiled_equals_untiled(self):
        image = Micrograph(cases(1)["edge-carbon"].image(bound=False).counts)
        whole, tiled = (semrt.infer("columns", image, device="cpu", tile=tile) for tile in (512, 256))
        assert tiled.provenance["tiling"]["tiles"] > 1
        assert len(whole) == len(tiled)
        np.testing.assert_allclose(tiled.positions, whole.positions, atol=1e-2)
