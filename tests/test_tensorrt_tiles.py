"""Engines for other tiles than the model's, and for fewer of them where memory is short; by the stand-in."""

import json

import numpy as np
import pytest

import semrt
from command import fails, run
from semrt import engine
from semrt.backends import open_session
from semrt.errors import DeviceUnavailable, InvalidOption, InvalidShape, ModelUnsuitable, OutOfMemory
from semrt.models import Manifest
from standin_toolchain import CARD, Standin, box_model, build, install, nothing_is_kept, tiles_of
from tiny_models import box_graph
from toy_tasks import micrograph, register

pytestmark = pytest.mark.usefixtures("engine_cache")


@pytest.fixture
def box(tmp_path):
    """Its tiles are 32 px, multiples of 4, with a halo of 4."""
    return box_model(tmp_path / "box")


def served(folder, tile=None):
    """Which tile the engine that opens is for."""
    with open_session(folder, "tensorrt", tile=tile) as session:
        return session.runner.profiles[0][-1][-1]


def test_an_engine_for_another_tile_is_another_engine(box, standin):
    assert build(box).key != build(box, tile=64).key
    assert build(box, tile=32).key == build(box).key  # the model's own
    assert build(box, tile=64).meta["profiles"][0] == [[1, 1, 4, 4], [1, 1, 64, 64], [1, 1, 64, 64]]
    assert standin.builds == 2


def test_it_is_compared_at_the_size_of_its_own_tiles(box, standin):
    build(box, tile=64)
    shapes = {shape[-2:] for shape in standin.opened[-1].shapes}
    assert shapes == {(16, 16), (64, 64)}


def test_tiles_take_the_engine_that_was_built_for_them_and_else_that_of_the_model(box, standin):
    build(box)
    build(box, tile=24)
    assert served(box) == 32
    assert served(box, 24) == 24
    assert served(box, 16) == 32  # which is open to smaller ones
    assert served(box, 32) == 32
    with pytest.raises(DeviceUnavailable) as caught:
        served(box, 48)
    assert "no engine is built for box 1.0 in fp32 and tiles of 48 px" in str(caught.value)
    assert f'run: semrt build "{box}" --tile 48' in str(caught.value)


def test_where_only_another_tile_has_an_engine_the_option_is_told(box, standin):
    build(box, tile=64)
    with pytest.raises(
        DeviceUnavailable, match=r"no engine is built for box 1\.0 in fp32; run: .*, give --tile 64, or"
    ):
        served(box)
    with open_session(box, "tensorrt", tile=64) as session:
        with pytest.raises(InvalidShape, match=r"up to 64.*give --tile 64"):
            session.run(np.zeros((1, 1, 68, 68), np.float32))
        assert session.run(tiles_of(1, 64, 64)).shape == (1, 1, 64, 64)


def test_an_image_goes_through_the_engine_of_its_tile(tmp_path, standin, monkeypatch):
    register(monkeypatch)
    folder = box_model(tmp_path / "box", task="deviation", domain={"mean": 1.0})
    build(folder)
    key = build(folder, tile=24).key
    measured = micrograph(70, 53)
    by_card, by_cpu = (semrt.infer(folder, measured, device=device, tile=24) for device in ("tensorrt", "cpu"))
    np.testing.assert_allclose(by_card.intensity, by_cpu.intensity, rtol=0, atol=1e-6)
    assert key[:12] in by_card.provenance["device"]["why"]
    assert by_card.provenance["tiling"]["tile"] == [24, 24]
    whole = semrt.infer(folder, measured, device="tensorrt")  # the other engine, although a session is open already
    assert key[:12] not in whole.provenance["device"]["why"]


@pytest.mark.parametrize(
    ("tile", "why"), [(30, "multiple of 4 px, got 30; use"), (8, "nothing between two halos of 4 px")]
)
def test_tiles_that_the_network_cannot_be_cut_into_are_refused_before_anything_is_built(
    box, standin, engine_cache, tile, why
):
    with pytest.raises(InvalidOption, match=why):
        engine.build_engine(box, Manifest.read(box), CARD, tile=tile)
    assert fails(run("build", box, "--tile", tile), 2, why)
    assert standin.builds == 0
    assert nothing_is_kept(engine_cache)


def test_a_graph_of_one_size_takes_no_other_tile(tmp_path, standin, engine_cache):
    folder = box_model(tmp_path / "fixed", box_graph(batch=1, side=32), side=32)
    with pytest.raises(ModelUnsuitable, match="its graph takes tiles of 32 x 32 px alone; leave --tile out"):
        build(folder, tile=64)
    assert nothing_is_kept(engine_cache)


def test_the_command_builds_for_a_tile_and_the_list_says_so(box, standin):
    done = run("build", box, "--tile", "64")
    assert "building box 1.0 in fp32 and tiles of 64 px for tensorrt:0" in done.stderr
    assert "box 1.0 in fp32, tiles of 64 px" in run("cache", "list").stdout


# Memory


def test_what_does_not_fit_is_built_for_fewer_tiles_at_a_time_and_says_so(box, monkeypatch, engine_cache):
    standin = install(monkeypatch, Standin(fits=3 * 32 * 32))
    told = []
    built = build(box, progress=lambda done, total, what: told.append(what))
    assert standin.asked == [[1, 2, 4, 8], [1, 2, 4], [1, 2]]
    assert built.meta["without_batches"] == [8, 4]
    assert [what for what in told if "memory" in what] == [
        "percent, again without batches of 8: memory is short",
        "percent, again without batches of 4: memory is short",
    ]
    again = run("build", box)
    assert "without batches of 8, 4 for which memory was short" in again.stdout
    assert json.loads(run("build", box, "--json").stdout)["without_batches"] == [8, 4]
    assert len(standin.asked) == 3
    with open_session(box, "tensorrt") as session, open_session(box, "cpu") as cpu:
        assert session.batches == (1, 2)
        np.testing.assert_allclose(session.run(tiles_of(5)), cpu.run(tiles_of(5)), rtol=0, atol=1e-6)


def test_what_fits_when_built_and_not_when_run_loses_its_largest_batches_too(box, monkeypatch):
    class FullWhenRun(Standin):
        def open(self, plan, graph):
            opened = super().open(plan, graph)
            whole = opened.run

            def run(tiles, *more):
                if len(tiles) > 4:
                    raise OutOfMemory("tensorrt:0")
                return whole(tiles, *more)

            opened.run = run
            return opened

    standin = install(monkeypatch, FullWhenRun())
    assert build(box).meta["without_batches"] == [8]
    assert [opened.closed for opened in standin.opened] == [True, True]


def test_where_not_even_one_tile_fits_the_cure_is_told(box, monkeypatch, engine_cache):
    standin = install(monkeypatch, Standin(fits=32 * 32 - 1))
    with pytest.raises(OutOfMemory, match=r"out of memory on tensorrt:0; close what else .* smaller --tile, or choose"):
        build(box)
    assert len(standin.asked) == 4
    assert nothing_is_kept(engine_cache)
    assert build(box, tile=16).new


def test_a_build_that_fails_for_another_cause_is_not_tried_again(box, monkeypatch):
    def fail():
        raise DeviceUnavailable("tensorrt:0", "an internal error", "choose --device cuda")

    standin = install(monkeypatch, Standin(at=fail))
    with pytest.raises(DeviceUnavailable, match="an internal error"):
        build(box)
    assert standin.builds == 1


def test_an_engine_that_is_wrong_is_not_built_again_with_fewer_batches(box, monkeypatch, engine_cache):
    standin = install(monkeypatch, Standin({8: 1.01}))
    with pytest.raises(ModelUnsuitable, match="other numbers"):
        build(box)
    assert standin.builds == 1
    assert nothing_is_kept(engine_cache)
