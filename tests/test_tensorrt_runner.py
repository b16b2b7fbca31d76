"""Running an engine on a card: right numbers from any thread, nothing left on the card, and every failure told."""

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from semrt.backends import Device, tensorrt_cuda, tensorrt_runner
from semrt.backends.spans import device_spans
from semrt.backends.tensorrt import TensorrtSession
from semrt.backends.tensorrt_cuda import Card
from semrt.backends.tensorrt_runner import NativeRunner
from semrt.backends.tensorrt_toolchain import Graph
from semrt.errors import DeviceUnavailable, InvalidShape, ModelDamaged, OutOfMemory, SemrtError
from tiny_models import box_graph, manifest_for
from toy_card import Code, ToyCuda, ToyEngine, doubled

GRAPH = Graph(Path("toy.onnx"), b"", "x", "y", (2, 1))
PROFILES = [((n, 2, 4, 4), (n, 2, 32, 32), (n, 2, 32, 32)) for n in (1, 2, 4)]
TRT = SimpleNamespace(ExecutionContextAllocationStrategy=SimpleNamespace(ON_PROFILE_CHANGE="on profile change"))


class Recorder:
    def __init__(self):
        self.errors = []

    def clear(self):
        self.errors.clear()


@pytest.fixture
def cuda(monkeypatch):
    return installed(monkeypatch, ToyCuda())


def installed(monkeypatch, cuda):
    monkeypatch.setattr(tensorrt_cuda, "_cudart", lambda: cuda)
    return cuda


def runner_on(cuda, *, recorder=None, **engine):
    return NativeRunner(TRT, Card(0, "tensorrt:0"), ToyEngine(cuda, PROFILES, **engine), recorder or Recorder(), GRAPH)


def tiles_of(n=2, h=32, w=32, seed=0):
    return np.random.default_rng(seed).random((n, 2, h, w), np.float32)


def test_a_card_says_what_it_is(cuda):
    card = Card(0, "tensorrt:0")
    assert (card.name, card.capability) == ("Toy", "9.0")


@pytest.mark.parametrize(("n_cards", "told"), [(1, "there is only one"), (2, "there are only 2")])
def test_a_card_that_is_not_there_is_refused(monkeypatch, n_cards, told):
    installed(monkeypatch, ToyCuda(n_cards=n_cards))
    with pytest.raises(DeviceUnavailable, match=told):
        Card(2, "tensorrt:2")


def test_each_run_gives_the_numbers_of_its_own_tiles(cuda):
    runner = runner_on(cuda)
    results = []
    for seed in range(6):
        for n, h, w in ((1, 32, 32), (4, 32, 32), (2, 4, 28), (1, 32, 32)):
            tiles = tiles_of(n, h, w, seed)
            results.append((runner.run(tiles), doubled(tiles)))
    for got, wanted in results:  # none was written over by a later run
        np.testing.assert_array_equal(got, wanted)


def test_after_the_first_run_of_a_shape_its_graph_is_launched(cuda):
    runner = runner_on(cuda)
    for _ in range(5):
        runner.run(tiles_of())
    assert cuda.launches == 5
    assert len(cuda.streams) == len(cuda.graphs) == 1
    assert len(cuda.device) == len(cuda.pinned) == 2


def test_a_network_that_cannot_be_recorded_runs_all_the_same(cuda):
    recorder = Recorder()
    runner = runner_on(cuda, recorder=recorder, records=False)
    for seed in range(3):
        tiles = tiles_of(seed=seed)
        np.testing.assert_array_equal(runner.run(tiles), doubled(tiles))
    assert cuda.launches == 0
    runner.close()
    assert cuda.nothing_is_left()


def test_a_graph_that_the_card_does_not_take_is_done_without(cuda):
    runner = runner_on(cuda)
    cuda.failing = "cudaGraphInstantiate"
    for seed in range(3):
        tiles = tiles_of(seed=seed)
        np.testing.assert_array_equal(runner.run(tiles), doubled(tiles))
    assert cuda.launches == 0
    runner.close()
    assert cuda.nothing_is_left()


@pytest.mark.parametrize("records", [True, False])
def test_the_times_of_a_run_are_those_of_the_cards_clock(cuda, records):
    runner, spans, tiles = runner_on(cuda, records=records), {}, tiles_of()
    runner.run(tiles)
    np.testing.assert_array_equal(runner.run(tiles, spans), doubled(tiles))
    # By the toy's clock a copy to it takes 1 ms, an engine 10 ms and a copy back 2 ms.
    assert spans == pytest.approx({"h2d": 0.001, "compute": 0.010, "d2h": 0.002})
    runner.run(tiles, spans)
    assert spans == pytest.approx({"h2d": 0.002, "compute": 0.020, "d2h": 0.004})
    assert cuda.launches == (3 if records else 0)  # timed as it runs otherwise: recorded, where that is possible
    assert len(cuda.events) == 4
    runner.run(tiles)  # without any of them
    assert len(cuda.graphs) == (2 if records else 0)
    runner.close()
    assert cuda.nothing_is_left()


def test_a_session_adds_up_the_times_of_its_batches(cuda):
    manifest = replace(manifest_for(box_graph()), input_channels=("a", "b"))
    toolchain = SimpleNamespace(version="11.4", gpu="Toy")
    session = TensorrtSession.of(manifest, Device("tensorrt"), "fp32", toolchain, runner_on(cuda), "asked")
    tiles = tiles_of(7)
    with session, device_spans(session) as spans:
        np.testing.assert_array_equal(session.run(tiles), doubled(tiles))
    # Seven tiles are a batch of 4, one of 2 and one of 1, of 1 + 10 + 2 ms each by the toy's clock.
    assert spans == pytest.approx({"h2d": 0.003, "compute": 0.030, "d2h": 0.006})
    assert cuda.nothing_is_left()


def test_threads_at_once_have_contexts_of_their_own(cuda):
    runner, gate, results = runner_on(cuda), threading.Barrier(4), {}

    def work(k):
        gate.wait(30)
        for seed in range(20):
            tiles = tiles_of(seed=100 * k + seed)
            results[k, seed] = np.array_equal(runner.run(tiles), doubled(tiles))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 80
    assert all(results.values())
    assert len(cuda.streams) <= 4
    assert {index for _, index in cuda.cards} == {0}
    assert len({thread for thread, _ in cuda.cards}) == 5  # each told the card that it is meant
    runner.close()
    assert cuda.nothing_is_left()


def test_contexts_take_memory_for_their_own_profile_alone(cuda):
    runner = runner_on(cuda)
    runner.run(tiles_of())
    assert runner._engine.strategies == ["on profile change"]


def test_closing_gives_everything_back_and_twice_does_no_harm(cuda):
    runner = runner_on(cuda)
    for n in (1, 2, 4):
        runner.run(tiles_of(n))
    assert not cuda.nothing_is_left()
    runner.close()
    runner.close()
    assert cuda.nothing_is_left()
    with pytest.raises(SemrtError, match="the session is closed"):
        runner.run(tiles_of())


def test_what_runs_while_the_runner_is_closed_ends_well_and_gives_its_memory_back(cuda, monkeypatch):
    runner, tiles = runner_on(cuda), tiles_of()
    wait = Card.wait

    def closing(card, stream):
        wait(card, stream)
        runner.close()

    runner.run(tiles)
    monkeypatch.setattr(Card, "wait", closing)
    np.testing.assert_array_equal(runner.run(tiles), doubled(tiles))
    assert cuda.nothing_is_left()


def test_shapes_without_number_do_not_fill_the_card(cuda):
    runner = runner_on(cuda)
    for h in range(4, 33, 4):
        for w in range(4, 33, 4):
            tiles = tiles_of(1, h, w)
            np.testing.assert_array_equal(runner.run(tiles), doubled(tiles))
    assert len(cuda.streams) == tensorrt_runner._MOST_IDLE == 12
    np.testing.assert_array_equal(runner.run(tiles_of(1, 32, 32)), doubled(tiles_of(1, 32, 32)))
    assert len(cuda.streams) == 12


def test_idle_shapes_make_room_for_one_that_needs_it(monkeypatch):
    # In and out of four tiles: (2 + 1) * 4 * 32 * 32 px * 4 bytes = 48 KiB; of one, 12 KiB.
    cuda = installed(monkeypatch, ToyCuda(memory=50 * 1024))
    runner = runner_on(cuda)
    runner.run(tiles_of(1))
    np.testing.assert_array_equal(runner.run(tiles_of(4)), doubled(tiles_of(4)))
    assert len(cuda.streams) == 1


def test_too_little_memory_is_told_and_leaves_the_runner_whole(monkeypatch):
    cuda = installed(monkeypatch, ToyCuda(memory=40 * 1024))
    runner = runner_on(cuda)
    with pytest.raises(OutOfMemory, match="out of memory on tensorrt:0; use a smaller --tile or --batch"):
        runner.run(tiles_of(4))
    assert cuda.nothing_is_left()
    np.testing.assert_array_equal(runner.run(tiles_of(2)), doubled(tiles_of(2)))


FIRST = ["cudaStreamCreateWithFlags", "cudaHostAlloc", "cudaMalloc", "cudaMemcpyAsync", "cudaStreamSynchronize"]


@pytest.mark.parametrize("function", ["cudaSetDevice", *FIRST, "cudaStreamBeginCapture"])
def test_every_error_of_the_card_is_told_and_leaves_nothing_behind(cuda, function):
    runner = runner_on(cuda)
    cuda.failing = function
    told = (
        rf"device 'tensorrt:0' cannot be used: {function}: invalid argument \(cudaErrorInvalidValue\); choose --device"
    )
    with pytest.raises(DeviceUnavailable, match=told):
        runner.run(tiles_of())
    cuda.failing = None
    assert cuda.nothing_is_left()
    np.testing.assert_array_equal(runner.run(tiles_of()), doubled(tiles_of()))


@pytest.mark.parametrize("function", ["cudaGraphLaunch", "cudaStreamSynchronize"])
def test_an_error_of_a_later_run_closes_its_context(cuda, function):
    runner = runner_on(cuda)
    runner.run(tiles_of())
    cuda.failing = function
    with pytest.raises(DeviceUnavailable, match=function):
        runner.run(tiles_of())
    assert cuda.nothing_is_left()


@pytest.mark.parametrize(
    ("refuses", "told"),
    [
        ("create_execution_context", "makes no execution context"),
        ("set_optimization_profile_async", "refuses its own profile"),
        ("set_input_shape", r"refuses tiles of \(2, 2, 32, 32\)"),
        ("set_tensor_address", "refuses memory for x"),
        ("execute_async_v3", "does not run the engine"),
    ],
)
def test_what_tensorrt_refuses_is_told_with_its_own_words(cuda, refuses, told):
    recorder = Recorder()
    runner = runner_on(cuda, recorder=recorder, refuses=refuses)
    recorder.errors.append((Code.cudaErrorInvalidValue, "IExecutionContext: Error Code 3"))
    with pytest.raises(DeviceUnavailable, match=rf"TensorRT {told}: IExecutionContext: Error Code 3; choose"):
        runner.run(tiles_of())
    assert cuda.nothing_is_left()
    assert recorder.errors == []


def test_tensorrts_own_lack_of_memory_is_told_as_such(cuda):
    recorder = Recorder()
    runner = runner_on(cuda, recorder=recorder, refuses="create_execution_context")
    recorder.errors.append((Code.cudaErrorInvalidValue, "Error Code 2: OutOfMemory (Requested size was 12 bytes.)"))
    with pytest.raises(OutOfMemory):
        runner.run(tiles_of())


def test_an_output_of_another_size_is_a_damaged_model(cuda):
    runner = runner_on(cuda, shrinks=2)
    with pytest.raises(ModelDamaged, match=r"y: expected shape \(2, 1, 32, 32\), got \(2, 1, 16, 32\)"):
        runner.run(tiles_of())
    assert cuda.nothing_is_left()


def test_the_profile_is_the_one_of_the_batch(cuda):
    runner = runner_on(cuda)
    assert runner.profiles == tuple(PROFILES)
    assert [tensorrt_runner._chosen(runner.profiles, (n, 2, 8, 32)) for n in (1, 2, 4)] == [0, 1, 2]
    with pytest.raises(InvalidShape):
        runner.run(tiles_of(3))
    assert cuda.nothing_is_left()


def test_an_engine_of_one_shape_needs_no_profile(cuda):
    (profile,) = {*runner_on(cuda, fixed=True).profiles}
    assert profile == ((1, 2, 32, 32),) * 3
