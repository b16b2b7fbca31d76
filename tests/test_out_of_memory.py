"""What happens where memory runs out: half of the batch, half of the tile, the same result, and a line that says so."""

import itertools
import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from command import run
from semrt import backends, engine, io, tiling
from semrt.backends import Device, open_session
from semrt.backends.onnxruntime import open_onnxruntime
from semrt.data import Micrograph
from semrt.engine import slabs
from semrt.engine.fitting import Size, run_fitting
from semrt.errors import InvalidOption, OutOfMemory
from test_backends import needs_cuda
from test_wedge_slabs import write_network
from tiny_models import box_graph
from toy_tasks import box_model, micrograph, register
from wedge_samples import series


@pytest.fixture(autouse=True)
def tasks(monkeypatch):
    """The toys in the registry, as any other."""
    register(monkeypatch)


class Small:
    """A session of ONNX Runtime on a device that holds so many numbers of a batch, and no more."""

    def __init__(self, session, most):
        self._session, self.most, self.shapes = session, most, []

    def __getattr__(self, name):
        return getattr(self._session, name)

    def run(self, tiles):
        self.shapes.append(tiles.shape)
        if tiles.size > self.most:
            raise OutOfMemory(self.device)
        return self._session.run(tiles)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._session.close()


@pytest.fixture
def session(tmp_path):
    with open_session(box_model(tmp_path / "box"), "cpu", threads=1) as session:
        yield session


def warned(measured, session, **options):
    """The result, and the lines that were said of it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = engine.infer(measured, session, **options)
    return result, [str(warning.message) for warning in caught]


HALVED = [
    # most numbers, asked for, what fits: (tile, batch)
    (8 * 32**2, (32, 8), (32, 8)),
    (8 * 32**2 - 1, (32, 8), (32, 4)),
    (3 * 32**2, (32, 8), (32, 2)),
    (32**2, (32, 8), (32, 1)),
    (32**2 - 1, (32, 8), (16, 1)),
    (16**2 - 1, (64, 2), (12, 1)),  # eight is half of sixteen, and twelve the least that holds two halos of four
    (12**2, (64, 1), (12, 1)),
]


@pytest.mark.parametrize(("most", "asked", "fits"), HALVED)
def test_the_result_is_the_one_of_tiles_that_fit(session, most, asked, fits):
    measured = micrograph(130, 97)
    wanted = engine.infer(measured, session, tile=fits[0], batch=fits[1])
    small = Small(session, most)
    result, lines = warned(measured, small, tile=asked[0], batch=asked[1])
    np.testing.assert_array_equal(result.intensity, wanted.intensity)
    told, plain = result.provenance["tiling"], wanted.provenance["tiling"]
    if fits == asked:
        assert (told, lines) == (plain, [])
    else:
        asked = {"tile": asked[0], "batch": asked[1]}
        assert told == {**plain, "asked": asked, "why": "out of memory"}
        (line,) = lines
        assert line == (
            f"box: out of memory on cpu at {asked['batch']} x {asked['tile']} px; "
            f"it runs at {fits[1]} x {fits[0]} px from now on"
        )
        assert result.provenance["details"]["notes"] == [line]


def test_what_fits_is_remembered_and_said_once(session):
    small = Small(session, 2 * 16**2)
    first, lines = warned(micrograph(), small, tile=32, batch=8)
    assert len(lines) == 1
    tried = len(small.shapes)
    again, lines = warned(micrograph(), small, tile=32, batch=8)
    assert lines == []
    assert "notes" not in again.provenance.get("details", {})
    assert again.provenance["tiling"] == first.provenance["tiling"]
    assert again.provenance["tiling"]["asked"] == {"tile": 32, "batch": 8}
    assert {shape[0] * shape[2] * shape[3] <= small.most for shape in small.shapes[tried:]} == {True}
    _, lines = warned(micrograph(), small, tile=32, batch=4)  # somebody asks for something else
    assert len(lines) == 1


def test_memory_that_runs_out_in_the_middle_begins_the_image_anew(session):
    measured = micrograph(130, 97)
    small = Small(session, np.inf)
    done = []

    def progress(k, total, what):
        done.append(k)
        if k == 4:
            small.most = 2 * 16**2  # somebody else took the rest

    result, lines = warned(measured, small, tile=16, batch=4, progress=progress)
    wanted = engine.infer(measured, session, tile=16, batch=2)
    np.testing.assert_array_equal(result.intensity, wanted.intensity)
    assert len(lines) == 1
    assert done[:2] == [4, 2]
    assert done[-1] == result.provenance["tiling"]["tiles"]


def test_a_field_smaller_than_its_tile_is_halved_from_its_own_size(session):
    measured = micrograph(40, 20)
    result, _ = warned(measured, Small(session, 40 * 20 - 1), tile=1024, batch=8)
    # Forty pixels are ten strides of four, and half of that five: 20 px, where the field is that wide.
    assert result.provenance["tiling"]["tile"] == [20, 20]
    assert result.provenance["tiling"]["asked"] == {"tile": 1024, "batch": 8}


def test_where_nothing_is_left_to_halve_it_is_told_in_a_line(session):
    with pytest.raises(OutOfMemory) as caught:
        engine.infer(micrograph(), Small(session, 12**2 - 1), tile=32, batch=8)
    assert str(caught.value) == (
        "out of memory on cpu; 1 x 12 px is the least that box takes; "
        "close what else uses it, or choose another --device"
    )
    assert caught.value.exit_code == 6


def test_a_network_of_one_size_gives_up_once_the_batch_is_halved(tmp_path):
    folder = box_model(tmp_path, onnx=box_graph(side=32))
    with open_session(folder, "cpu") as session:
        small = Small(session, 32**2 - 1)
        with pytest.raises(OutOfMemory, match="on cpu; 1 x 32 px is the least that box takes"):
            engine.infer(micrograph(), small, tile=32, batch=4)
        assert [shape[0] for shape in small.shapes] == [4, 2, 1, 1]  # the last of 16 px, which it does not take
        small.most = 32**2
        result, _ = warned(micrograph(), small, tile=32, batch=4)
        assert result.provenance["tiling"]["batch"] == 1


def test_other_errors_end_at_once(session):
    class Broken(Small):
        def run(self, tiles):
            self.shapes.append(tiles.shape)
            raise InvalidOption("broken")

    broken = Broken(session, 1)
    with pytest.raises(InvalidOption, match="broken"):
        engine.infer(micrograph(), broken, tile=32)
    assert len(broken.shapes) == 1


def open_small(folder, manifest, device, **settings):
    """Stands for a card that holds three tiles of 256 px with two channels."""
    session = open_onnxruntime(folder, manifest, Device("cpu"), **settings)
    session.device = str(device)
    return Small(session, 3 * 2 * 256**2)


def test_many_files_say_it_once_and_each_record_holds_it(tmp_path, monkeypatch):
    monkeypatch.setitem(backends.BACKENDS, "cuda", f"{__name__}:open_small")
    files = [tmp_path / f"{k}.tif" for k in range(3)]
    for k, file in enumerate(files):
        image = np.full((300, 260), 0.1, np.float32)
        image[100:104, 80 + k : 84 + k] = 1
        io.write(file, Micrograph(image))
    done = run("infer", "columns", *files, "-o", tmp_path, "--device", "cuda", "--tile", 256, "--batch", 4)
    assert done.exit_code == 0, done.output
    lines = [line for line in done.stderr.splitlines() if "out of memory" in line]
    said = "columns: out of memory on cuda:0 at 4 x 256 px; it runs at 2 x 256 px from now on"
    assert lines == [f"semrt: note: {files[0]}: {said}"]
    for k in range(3):
        record = json.loads((tmp_path / f"{k}_columns.semrt.json").read_text())
        assert record["tiling"]["batch"] == 2
        assert record["tiling"]["asked"] == {"tile": 256, "batch": 4}
        assert record["device"]["used"] == "cuda:0"


def test_a_volume_of_several_slabs_says_it_once(tmp_path, monkeypatch):
    monkeypatch.setattr(slabs, "AT_ONCE", 3)
    of = series(ny=7)
    with open_session(write_network(tmp_path / "wedge"), "cpu", threads=1) as session:
        wanted = engine.infer(of, session, batch=1, threads=1)
        result, lines = warned(of, Small(session, 12 * 32**2), batch=4, threads=1)
    np.testing.assert_array_equal(result.density, wanted.density)
    assert result.provenance["details"]["slabs"] == 3
    assert sum("out of memory" in line for line in lines) == 1
    assert result.provenance["tiling"]["batch"] == 1


LIMITED = """
import sys
import warnings
import numpy as np
import onnxruntime
import pytest
from onnxruntime.capi import _pybind_state as state
from semrt import engine
from semrt.backends import onnxruntime as ours
from semrt.backends import open_session
from toy_tasks import micrograph, register

register(pytest.MonkeyPatch())
settings = ours._settings
def limited(*given):
    made = settings(*given)
    made.add_session_config_entry("session.use_env_allocators", "1")
    return made

measured, sizes, results = micrograph(700, 600), {"tile": 512, "batch": 4}, []
for limit in (6, None):  # MiB
    if limit:
        place = state.OrtMemoryInfo("Cpu", state.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, state.OrtMemType.DEFAULT)
        cfg = state.OrtArenaCfg({"max_mem": limit << 20, "arena_extend_strategy": 1})
        onnxruntime.create_and_register_allocator(place, cfg)
    ours._settings = limited if limit else settings
    with open_session(sys.argv[1], "cpu", threads=1) as session, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results.append(engine.infer(measured, session, **sizes))
    told = results[-1].provenance["tiling"]
    print(told["tile"][0], told["batch"], len(caught))
    sizes = {"tile": told["tile"][0], "batch": told["batch"]}
print(np.array_equal(*(result.intensity for result in results)))
"""


def test_a_runtime_that_really_runs_out_of_memory_goes_on_with_less(tmp_path):
    """ONNX Runtime itself on the processor, whose memory is limited as that of a card is."""
    box_model(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    halved, whole, equal = done.stdout.splitlines()
    tile, batch, lines = map(int, halved.split())
    assert (tile < 512, batch, lines) == (
        True,
        1,
        1,
    )  # one of 512 px takes a mebibyte, and a convolution many times that
    assert whole == f"{tile} {batch} 0"
    assert equal == "True"


@needs_cuda
@pytest.mark.gpu
def test_a_card_that_runs_out_of_memory_goes_on_with_less():
    image = np.random.default_rng(0).normal(0.5, 0.1, (2400, 2400)).astype(np.float32)
    with open_session("columns", "cuda", gpu_memory=1 << 30) as session:
        channels = np.broadcast_to(image, (len(session.manifest.input_channels), *image.shape))
        halo, multiple = session.manifest.halo, session.manifest.multiple

        def run(tile, batch):
            return tiling.run(session.run, channels, tile=tile, batch=batch, halo=halo, multiple=multiple)

        result, size, line = run_fitting(run, session, Size(2048, 8), image.shape, 1)
        assert size.asked == Size(2048, 8)
        assert "out of memory on cuda:0 at 8 x 2048 px" in line
        np.testing.assert_allclose(result, run(size.tile, size.batch), rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    images=st.integers(1, 5),
    tile=st.integers(1, 40),
    batch=st.integers(1, 20),
    halo=st.integers(0, 40),
    multiple=st.sampled_from([1, 4, 8, 32]),
)
def test_halving_ends_at_one_small_tile_and_each_step_needs_less(shape, images, tile, batch, halo, multiple):
    tile = max(tile, 1) * multiple + -(-2 * halo // multiple) * multiple
    needs = []
    size = (tile, batch)
    while size is not None:
        layout = tiling.plan(shape, size[0], halo, multiple)  # which refuses a tile that is all halo
        at_once = max(n for n in tiling.BATCH_SIZES if n <= min(size[1], images * len(layout)))
        needs.append(at_once * np.prod(layout.tile))
        size = tiling.halved(shape, images, *size, halo, multiple)
    assert all(after < before for before, after in itertools.pairwise(needs))
    assert at_once == 1
    assert max(layout.tile) <= max(2 * halo + 2 * multiple, multiple)
