"""Tiles in lanes: several batches at once in the network, and the same image to the last bit."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from semrt import engine, tiling
from semrt.backends import open_session
from semrt.backends.onnxruntime_memory import Memory
from semrt.engine.network_road import _Busy
from semrt.errors import InvalidOption, InvalidShape
from test_onnxruntime_binding import Watched, bind
from toy_tasks import box_model, micrograph, register

SIDES = {"tile": 16, "halo": 4, "multiple": 4}


def blurred(tiles):
    """A network of reach one, which leaves its tiles as they are."""
    return ndimage.uniform_filter(tiles, (1, 1, 3, 3), mode="constant")


def image_of(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


@settings(deadline=None, max_examples=40)
@given(
    ny=st.integers(1, 90),
    nx=st.integers(1, 90),
    batch=st.integers(1, 9),
    lanes=st.integers(2, 4),
    late=st.lists(st.integers(0, 2), max_size=12),
)
def test_lanes_make_the_same_image_whichever_is_ready_first(ny, nx, batch, lanes, late):
    waits = iter(late)

    def unsteady(tiles):
        time.sleep(1e-3 * next(waits, 0))
        return blurred(tiles)

    image = image_of(2, ny, nx)
    wanted = tiling.run(blurred, image, batch=batch, **SIDES)
    np.testing.assert_array_equal(tiling.run(unsteady, image, batch=batch, lanes=lanes, **SIDES), wanted)


def test_a_network_that_gives_its_own_memory_back_gives_the_image_back():
    image = image_of(1, 90, 70)
    same = tiling.run(lambda tiles: tiles, image, batch=2, lanes=2, **SIDES)
    np.testing.assert_allclose(same, image, rtol=3e-7)


def test_two_batches_are_in_the_network_at_once_and_no_third():
    both = threading.Barrier(2, timeout=20)
    now, most, batches = [], [], []

    def watched(tiles):
        now.append(None)
        most.append(len(now))
        if len(batches) < 2:  # the first two wait for each other
            batches.append(tiles)
            both.wait()
        kept = tiles.copy()
        result = blurred(tiles)
        np.testing.assert_array_equal(tiles, kept)  # nobody cuts into what is being computed
        now.pop()
        return result

    image = image_of(3, 1, 90, 70)
    wanted = tiling.run_stack(blurred, image, batch=4, **SIDES)
    np.testing.assert_array_equal(tiling.run_stack(watched, image, batch=4, lanes=2, **SIDES), wanted)
    assert max(most) == 2
    assert not np.shares_memory(*batches)


def test_progress_counts_in_order_and_what_it_raises_ends_the_work():
    told, begun = [], []

    def progress(done, total, what):
        told.append(done)
        if done == 12:
            raise KeyboardInterrupt

    def counted(tiles):
        begun.append(len(tiles))
        return blurred(tiles)

    image = image_of(1, 200, 200)
    with pytest.raises(KeyboardInterrupt):
        tiling.run(counted, image, batch=4, lanes=2, progress=progress, **SIDES)
    assert told == [4, 8, 12]
    assert len(begun) <= 3 + 2  # those that were told of, and those that were on their way
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("semrt-lane")]


@pytest.mark.parametrize("error", [InvalidOption("broken"), MemoryError()])
def test_what_a_lane_raises_is_raised(error):
    calls = []

    def failing(tiles):
        calls.append(None)
        if len(calls) == 3:
            raise error
        return blurred(tiles)

    with pytest.raises(type(error)):
        tiling.run(failing, image_of(1, 90, 90), batch=2, lanes=2, **SIDES)
    with pytest.raises(InvalidShape, match=r"predicted tiles: expected shape \(n, k, 16, 16\) with n = 2"):
        tiling.run(lambda tiles: tiles[..., 1:], image_of(1, 90, 90), batch=2, lanes=2, **SIDES)


def test_the_engine_gives_lanes_to_a_session_that_copies_while_it_computes(tmp_path, monkeypatch):
    register(monkeypatch)
    measured = micrograph(130, 97)
    threads, both = set(), threading.Event()

    class Told(Memory):
        def array(self, shape):
            threads.add(threading.current_thread().name)
            if len(threads) == 2:
                both.set()
            return super().array(shape)

    with open_session(box_model(tmp_path), "cpu", threads=1) as session:
        assert session.lanes == 1
        wanted = engine.infer(measured, session, tile=32, batch=2)
        bind(session, Told(), graph=Watched(session.graph, lambda: both.wait(20)))
        assert session.lanes == 2
        result = engine.infer(measured, session, tile=32, batch=2)
        assert session.bound._graph.most == 1  # computed one after the other, from two threads
    np.testing.assert_array_equal(result.intensity, wanted.intensity)
    assert threads == {"semrt-lane_0", "semrt-lane_1"}
    seconds = result.provenance["seconds"]
    assert 0 < seconds["network"] < seconds["run"]


def test_time_that_two_threads_share_counts_once():
    busy = _Busy()
    inside, leave = threading.Barrier(3, timeout=20), threading.Event()

    def work():
        with busy:
            inside.wait()
            leave.wait(20)

    threads = [threading.Thread(target=work) for _ in range(2)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    inside.wait()
    time.sleep(0.05)
    leave.set()
    for thread in threads:
        thread.join()
    assert 0.05 <= busy.seconds <= time.perf_counter() - started
