"""The library of simulated atomic columns: broad, seeded, and one command; and the fixed set that judges."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from command import fails, run
from semrt import io
from semrt.errors import InvalidOption
from semrt.simulate import columns
from semrt.simulate.columns import PROFILES, STRUCTURES, cases, draw, draw_imaging, draw_specimen
from semrt.simulate.columns.cases import DOSES
from semrt.simulate.columns.library import PROBE_SIGMA, SPACING

CASES = cases(0)


def rng(seed=0):
    return np.random.default_rng(seed)


# --- draw


@given(shape=st.tuples(st.integers(1, 70), st.integers(1, 70)), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_an_image_of_any_shape_holds_its_columns(shape, seed):
    image = draw(rng(seed), shape)
    for plane in (image.counts, image.clean, image.background, image.expected):
        assert plane.shape == shape
        assert plane.dtype == np.float32
        assert np.isfinite(plane).all()
    assert ((image.y >= -0.5) & (image.y < shape[0] - 0.5)).all()
    assert ((image.x >= -0.5) & (image.x < shape[1] - 0.5)).all()
    assert (image.intensity > 0).all()
    assert (image.snr > 0).all()
    assert image.crlb_y is None


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure_can_be_drawn_with_its_bounds(structure):
    image = draw(rng(3), (96, 96), structure=structure, bound=True)
    assert image.settings["specimen"]["structure"] == structure
    bounds = np.concatenate([image.crlb_y, image.crlb_x])
    assert len(bounds) == 2 * len(image.y)
    assert np.isfinite(bounds).all()
    assert (bounds > 0).all()
    assert image.pixel_size[0] * image.spacing == pytest.approx(STRUCTURES[structure].nearest / 10)


def test_the_same_seed_draws_the_same_image_and_another_seed_another():
    first, again, other = (draw(rng(seed), (64, 64)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.counts, again.counts)
    np.testing.assert_array_equal(first.y, again.y)
    assert first.settings == again.settings != other.settings


def test_columns_in_drawn_images_are_never_too_near():
    for seed in range(40):
        image = draw(rng(seed), (128, 128))
        between = np.hypot(image.y[:, None] - image.y, image.x[:, None] - image.x)
        np.fill_diagonal(between, np.inf)
        if len(image.y) > 1:  # drift and shear may bring them nearer than the specimen has them
            assert between.min() > 0.6 * image.spacing


def test_draws_span_what_microscopes_see():
    drawn = [draw_specimen(rng(seed), (512, 512)) for seed in range(600)]
    recorded = [draw_imaging(rng(seed), specimen) for seed, specimen in enumerate(drawn)]
    assert {specimen.structure for specimen in drawn} == set(STRUCTURES)
    assert {specimen.profile for specimen in drawn} == set(PROFILES)
    spacing = np.array([specimen.spacing for specimen in drawn])
    sigma = np.array([imaging.probe_sigma for imaging in recorded])
    dose = np.array([imaging.dose for imaging in recorded])
    for values, (low, high) in ((spacing, SPACING), (sigma, PROBE_SIGMA), (dose, (4, 3000))):
        assert values.min() >= low
        assert values.max() <= high
        assert values.min() < 1.2 * low
        assert values.max() > 0.8 * high
    assert (sigma / spacing).max() < 0.35
    for share, low, high in (
        (np.mean([specimen.grains > 1 for specimen in drawn]), 0.2, 0.3),
        (np.mean([specimen.particles > 0 for specimen in drawn]), 0.06, 0.14),
        (np.mean([specimen.partner is not None for specimen in drawn]), 0.02, 0.12),
        (np.mean([max(imaging.jitter) > 0 for imaging in recorded]), 0.4, 0.6),
        (np.mean([imaging.tail > 0 for imaging in recorded]), 0.5, 0.7),
        (np.mean([imaging.carbon > 0 for imaging in recorded]), 0.3, 0.5),
    ):
        assert low < share < high


def test_an_unknown_structure_is_refused():
    with pytest.raises(InvalidOption, match="perovskite-100"):
        draw(rng(), structure="perovskite-10")


# --- cases


def test_the_test_set_spans_what_it_promises():
    assert len(CASES) >= 24
    assert {case.shape[0] for case in CASES.values()} == {256, 512, 1024, 2048}
    sigma = [case.imaging.probe_sigma for case in CASES.values()]
    assert (min(sigma), max(sigma)) == (1.5, 5.0)
    assert {case.imaging.dose for case in CASES.values()} == set(DOSES.values())
    assert len(DOSES) == 3
    light = [case.imaging.light for case in CASES.values() if case.specimen.structure.startswith("perovskite")]
    assert (min(light), max(light)) == (0.2, 0.35)
    specimens = [case.specimen for case in CASES.values()]
    assert {"square", "hexagonal", "fcc-110", "perovskite-100"} <= {specimen.structure for specimen in specimens}
    assert {"ramp", "edge"} <= {specimen.profile for specimen in specimens}
    for has in (
        lambda case: any(case.specimen.strain),
        lambda case: case.specimen.grains > 1,
        lambda case: case.imaging.jitter[1] > 0,
        lambda case: case.imaging.tail > 0,
        lambda case: case.imaging.background == "carbon",
    ):
        assert any(map(has, CASES.values()))
    assert all(case.imaging.read_noise > 0 for case in CASES.values())


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.shape == (256, 256)])
def test_a_small_case_is_the_same_each_time_and_its_columns_can_be_found(name):
    image, again, other = CASES[name].image(), CASES[name].image(bound=False), cases(1)[name].image(bound=False)
    np.testing.assert_array_equal(image.counts, again.counts)
    assert (image.counts != other.counts).any()
    assert len(image.y) > 50
    assert np.mean(image.snr >= 5) > 0.95
    assert np.median(np.hypot(image.crlb_y, image.crlb_x)) < 0.1 * image.spacing


def test_light_columns_of_the_perovskite_are_as_faint_as_promised():
    for name in ("perovskite-clean", "perovskite-faint"):
        image = CASES[name].image(bound=False)
        ratio = image.intensity[image.species == "O"] / image.intensity[image.species == "Sr"].max()
        np.testing.assert_allclose(ratio, CASES[name].imaging.light, rtol=1e-6)


def test_an_edge_fades_until_columns_cannot_be_seen():
    image = CASES["edge-fading"].image(bound=False)
    assert image.snr.min() < 5
    assert image.snr.max() > 20


def test_the_largest_case_holds_twenty_four_thousand_columns():
    image = CASES["square-many"].image(bound=False)
    assert image.shape == (2048, 2048)
    assert 24_000 < len(image.y) < 26_000


# --- the command


def simulate(folder, *more):
    return run("simulate", "columns", "-n", 3, "--seed", 7, "--shape", "48x64", "-o", folder, *more)


def test_a_library_is_written_with_the_truth_beside_each_image(tmp_path):
    result = simulate(tmp_path)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [str(tmp_path / f"columns_0000{k}.tif") for k in range(3)]
    for k in range(3):
        drawn = draw(rng([7, k]), (48, 64), bound=True)
        held = io.read(tmp_path / f"columns_0000{k}.tif")
        np.testing.assert_array_equal(held.intensity, drawn.counts)
        assert held.pixel_size == pytest.approx(drawn.pixel_size)
        with (tmp_path / f"columns_0000{k}.csv").open(encoding="utf-8", newline="") as file:
            truth = list(csv.DictReader(file))
        assert [row["species"] for row in truth] == drawn.species.tolist()
        for name, values in (
            ("y_px", drawn.y),
            ("x_px", drawn.x),
            ("intensity", drawn.intensity),
            ("snr", drawn.snr),
            ("crlb_y_px", drawn.crlb_y),
            ("crlb_x_px", drawn.crlb_x),
        ):
            np.testing.assert_allclose([float(row[name]) for row in truth], values, rtol=1e-6)
        told = json.loads((tmp_path / f"columns_0000{k}.json").read_text(encoding="utf-8"))
        assert (told["seed"], told["number"], told["columns"]) == (7, k, len(drawn.y))
        assert told["specimen"]["spacing"] == drawn.spacing
        assert told["imaging"]["dose"] == drawn.settings["imaging"]["dose"]


def test_a_library_is_resumed_and_never_replaced_unasked(tmp_path):
    assert simulate(tmp_path).exit_code == 0
    kept = (tmp_path / "columns_00000.tif").read_bytes()
    assert fails(simulate(tmp_path), 3, "columns_00000.tif", "--skip-existing")
    (tmp_path / "columns_00001.tif").unlink()  # as an interruption leaves it: the truth without its image
    (tmp_path / "columns_00001.csv").write_text("stale")
    (tmp_path / "columns_00000.tif").write_bytes(b"precious")
    assert fails(simulate(tmp_path / "columns_00000.tif"), 2, "columns_00000.tif")
    result = simulate(tmp_path, "--skip-existing", "--json")
    told = json.loads(result.stdout)
    assert told["written"] == [str(tmp_path / "columns_00001.tif")]
    assert len(told["skipped"]) == 2
    assert (tmp_path / "columns_00001.csv").read_text().startswith("index,y_px,x_px")
    assert (tmp_path / "columns_00000.tif").read_bytes() == b"precious"
    assert simulate(tmp_path, "--overwrite").exit_code == 0
    assert (tmp_path / "columns_00000.tif").read_bytes() == kept


def test_the_truth_that_is_left_of_an_image_is_not_replaced_unasked(tmp_path):
    (tmp_path / "columns_00002.csv").write_text("precious")
    assert fails(simulate(tmp_path), 3, "columns_00002.csv", "already exists")
    assert [path.name for path in tmp_path.iterdir()] == ["columns_00002.csv"]


def test_ctrl_c_leaves_the_finished_images_whole(tmp_path, monkeypatch):
    def interrupted(generator, *more, **settings):
        if (tmp_path / "columns_00001.tif").exists():
            raise KeyboardInterrupt
        return draw(generator, *more, **settings)

    monkeypatch.setattr(columns, "draw", interrupted)
    result = simulate(tmp_path)
    assert result.exit_code == 130
    assert "--skip-existing goes on from there" in result.stderr
    assert len(result.stdout.splitlines()) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"columns_0000{k}.{suffix}" for k in range(2) for suffix in ("csv", "json", "tif")
    ]


def test_the_test_set_is_written_by_name(tmp_path):
    for name in CASES.keys() - {"square-clean", "graphene-starved"}:
        (tmp_path / f"columns_{name}.tif").touch()
    result = run("simulate", "columns", "--cases", "-o", tmp_path, "--skip-existing", "--no-bound")
    assert result.exit_code == 0, result.stderr
    assert [line.rpartition("_")[2] for line in result.stdout.splitlines()] == [
        "square-clean.tif",
        "graphene-starved.tif",
    ]
    expected = CASES["graphene-starved"].image(bound=False).counts
    np.testing.assert_array_equal(io.read(tmp_path / "columns_graphene-starved.tif").intensity, expected)
    assert "crlb" not in (tmp_path / "columns_graphene-starved.csv").read_text()


def test_micrographs_are_drawn_too(tmp_path):
    result = run("simulate", "micrographs", "-n", 2, "--shape", 32, "--kind", "grains", "-o", tmp_path)
    assert result.exit_code == 0, result.stderr
    images = [io.read(line).intensity for line in result.stdout.splitlines()]
    assert len(images) == 2
    assert all(image.shape == (32, 32) and image.min() >= 0 and image.max() <= 1 for image in images)
    assert (images[0] != images[1]).any()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["columns", "-n", 0], "-n"),
        (["columns", "--seed", -1], "--seed"),
        (["columns", "--structure", "sqare"], "did you mean 'square'?"),
        (["columns", "--cases", "-n", 3], "--cases"),
        (["columns", "--skip-existing", "--overwrite"], "contradict"),
        (["micrographs", "--kind", "grain"], "did you mean 'grains'?"),
    ],
)
def test_a_library_that_cannot_be_is_refused_and_nothing_is_written(tmp_path, words, said):
    assert fails(run("simulate", *words, "-o", tmp_path), 2, said)
    assert not list(tmp_path.iterdir())
