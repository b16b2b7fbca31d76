"""torch on a card: what is recorded and replayed there, on a toy card without one, and on a real one."""

import inspect

import numpy as np
import pytest
import torch
from scipy import ndimage

import toy_torch_card
from semrt import models
from semrt.backends import open_session, torch_runners
from semrt.backends.spans import SPANS, device_spans
from semrt.backends.torch_graph import TorchGraph
from semrt.backends.torch_runners import CudaRunner
from semrt.models import Manifest, Reference
from test_torch_backend import CUDA, rms, tiles_of
from tiny_models import write_model
from toy_torch_card import CUDAGraph

needs_cuda = pytest.mark.skipif(not CUDA, reason="torch sees no CUDA device here")


@pytest.fixture
def box(tmp_path):
    """A model that averages 3 × 3 pixels."""
    return write_model(tmp_path / "box")


def test_what_a_card_is_asked_for_exists_in_this_torch():
    """Without a card: the names and keywords that a recording uses, and the switch of TF32 itself."""
    inspect.signature(torch.cuda.graph).bind(object(), stream=object(), capture_error_mode="thread_local")
    assert issubclass(torch.OutOfMemoryError, RuntimeError)
    for owner, names in {
        torch.cuda: ("Stream", "CUDAGraph", "Event", "stream", "current_stream", "device", "empty_cache"),
        torch.cuda.Stream: ("wait_stream", "synchronize"),
        torch.cuda.Event: ("record", "elapsed_time"),
        torch.cuda.CUDAGraph: ("replay",),
    }.items():
        assert [name for name in names if not callable(getattr(owner, name))] == []
    before = torch.backends.cudnn.allow_tf32
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        assert torch.backends.cudnn.allow_tf32 is False
    assert torch.backends.cudnn.allow_tf32 == before


def on_toy_card(name, monkeypatch):
    toy_torch_card.install(monkeypatch)
    folder = models.find(name)
    manifest = Manifest.read(folder)
    onnx = manifest.load(folder)
    return CudaRunner(TorchGraph.read(onnx, manifest, folder / "x", toy_torch_card.HOST), toy_torch_card.HOST)


@pytest.mark.parametrize("name", sorted(models.available()))
def test_a_recording_is_made_once_for_each_shape_and_replayed_with_other_tiles(name, monkeypatch):
    folder = models.find(name)
    channels = np.tile(Reference.read(folder, Manifest.read(folder)).channels, (2, 1, 1, 1))
    runner = on_toy_card(name, monkeypatch)
    with open_session(name, "cpu", threads=1) as other:
        wanted = other.run(channels)
        got = [(first, runner.run(channels[first : first + n])) for first, n in ((0, 1), (0, 2), (1, 1), (1, 2))]
    for first, predicted in got:  # and none wrote over an earlier one
        expected = wanted[first : first + len(predicted)]
        assert rms(predicted - expected) <= 1e-5 * rms(expected)
    assert (len(CUDAGraph.kept), CUDAGraph.replays) == (2, 4)


def test_a_clocked_run_gives_the_same_numbers_and_what_the_card_says_of_its_time(box, monkeypatch):
    runner, tiles = on_toy_card(box, monkeypatch), tiles_of(1, h=8)
    wanted, spans = runner.run(tiles), {}
    for times in (1, 2):
        np.testing.assert_array_equal(runner.run(tiles, spans), wanted)
        assert spans == pytest.approx(dict.fromkeys(SPANS, 0.001 * times))  # a step of the toy takes 1 ms
    runner.run(tiles)
    assert spans["compute"] == pytest.approx(0.002)


def test_recordings_are_kept_of_the_shapes_used_last(box, monkeypatch):
    runner = on_toy_card(box, monkeypatch)
    for side in (*range(4, 4 + 4 * 12, 4), 4, 52, 4, 8):  # of twelve shapes, a thirteenth, and the one that went for it
        tiles = tiles_of(1, h=side, seed=side)
        wanted = ndimage.uniform_filter(tiles, (1, 1, 3, 3), mode="constant")
        np.testing.assert_allclose(runner.run(tiles), wanted, atol=1e-6)
    assert len(CUDAGraph.kept) == 12 + 1 + 1
    runner.close()


def test_a_card_that_is_full_forgets_other_shapes_first(box, monkeypatch):
    runner = on_toy_card(box, monkeypatch)
    runner.run(tiles_of(1, h=8))
    wanted, page_locked, refusals = runner.run(tiles_of(1, h=16)), torch_runners._page_locked, [True]

    def short(shape):
        if refusals:
            refusals.pop()
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return page_locked(shape)

    monkeypatch.setattr(torch_runners, "_page_locked", short)
    runner.run(tiles_of(1, h=24))
    recorded = len(CUDAGraph.kept)
    np.testing.assert_array_equal(runner.run(tiles_of(1, h=16)), wanted)
    assert len(CUDAGraph.kept) == recorded + 1  # it had been forgotten
    runner.close()
    refusals.append(True)
    with pytest.raises(torch.OutOfMemoryError):  # nothing is left to forget
        runner.run(tiles_of(1, h=8))


@needs_cuda
@pytest.mark.gpu
@pytest.mark.parametrize("name", sorted(models.available()))
@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-5), ("fp16", 1e-2)])
def test_a_card_gives_the_numbers_of_the_processor_again_and_again(name, precision, limit):
    folder = models.find(name)
    channels = np.tile(Reference.read(folder, Manifest.read(folder)).channels, (4, 1, 1, 1))
    with open_session(name, "torch:cuda", precision=precision) as session, open_session(name, "cpu") as other:
        assert session.device == "torch:cuda:0"
        assert session.threads is None
        for n in (1, 8, 3, 1, 8):  # recorded at the first call of a batch, replayed at the others
            wanted = other.run(channels[:n])
            assert rms(session.run(channels[:n]) - wanted) <= limit * rms(wanted)


@needs_cuda
@pytest.mark.gpu
def test_a_card_forgets_the_recordings_that_it_used_longest_ago(box):
    with open_session(box, "torch:cuda") as session, open_session(box, "cpu") as other:
        with device_spans(session) as spans:
            session.run(tiles_of(1, h=4, w=32))
        assert list(spans) == list(SPANS)
        for side in [*range(4, 84, 4), 4, 8]:
            tiles = tiles_of(1, h=side, w=32, seed=side)
            np.testing.assert_allclose(session.run(tiles), other.run(tiles), rtol=0, atol=1e-6)
