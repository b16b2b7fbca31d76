"""ONNX Runtime on memory that stays: the same numbers, copied while others are computed, and given back when short."""

import subprocess
import sys
import threading

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from semrt import models
from semrt.backends import onnxruntime_cuda as cuda
from semrt.backends import open_session
from semrt.backends.onnxruntime_binding import BoundGraph
from semrt.backends.onnxruntime_memory import Memory
from semrt.backends.spans import SPANS, device_spans
from semrt.errors import ModelDamaged, OutOfMemory, SemrtError
from semrt.models import Manifest, Reference
from test_backends import needs_cuda
from tiny_models import graph, write_model


def tiles_of(n=2, h=32, w=32, seed=0):
    return np.random.default_rng(seed).random((n, 1, h, w), np.float32)


def bind(session, memory=None, *, graph=None, frugal=False):
    """Make a session of the processor run as one of a card does."""
    memory, graph = memory or Memory(), graph or session.graph
    session.bound = BoundGraph(onnxruntime, graph, session.manifest, memory, ("cpu", 0), frugal=frugal)
    return session


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    """A model that averages 3 × 3 pixels."""
    return write_model(tmp_path_factory.mktemp("box"))


@pytest.fixture(scope="module")
def both(box):
    """One session as it is, and one that is bound."""
    with open_session(box, "cpu", threads=1) as plain, open_session(box, "cpu", threads=1) as session:
        yield plain, bind(session)


class Counted(Memory):
    """Memory that knows how often it was asked for."""

    def __init__(self):
        self.asked = 0

    def array(self, shape):
        self.asked += 1
        return super().array(shape)


class Watched:
    """A graph that tells what it is doing: `before` is called before a batch is computed, and `most` at once were."""

    def __init__(self, graph, before=lambda: None):
        self.graph, self.before = graph, before
        self.io_binding, self.now, self.most = graph.io_binding, 0, 0

    def run_with_iobinding(self, binding, options):
        self.now += 1
        self.most = max(self.most, self.now)
        self.before()
        self.graph.run_with_iobinding(binding, options)
        self.now -= 1


@settings(deadline=None, max_examples=20)
@given(n=st.integers(1, 20), h=st.integers(1, 6), w=st.integers(1, 6))
def test_bound_memory_gives_the_same_numbers_to_the_last_bit(both, n, h, w):
    plain, bound = both
    tiles = tiles_of(n, h=4 * h, w=4 * w, seed=n)
    np.testing.assert_array_equal(bound.run(tiles), plain.run(tiles))


@pytest.mark.parametrize("name", sorted(models.available()))
def test_a_shipped_model_gives_the_same_numbers_to_the_last_bit(name):
    channels = Reference.read(models.find(name), Manifest.read(models.find(name))).channels
    with open_session(name, "cpu", threads=1) as session:
        wanted = session.run(channels)
        np.testing.assert_array_equal(bind(session).run(channels), wanted)


def test_a_result_is_its_owners_and_no_later_one_writes_over_it(both):
    _, bound = both
    first = bound.run(tiles_of(seed=1))
    kept = first.copy()
    assert not np.array_equal(bound.run(tiles_of(seed=2)), first)
    np.testing.assert_array_equal(first, kept)


def test_memory_is_asked_for_once_for_each_shape_and_lane(box):
    memory = Counted()
    with open_session(box, "cpu", threads=1) as session:
        bind(session, memory)
        for _ in range(10):
            session.run(tiles_of(27))  # 8 + 8 + 8 + 2 + 1
    # Of each of three shapes two lanes at the most, and of each lane what goes in and what comes out.
    assert 3 * 2 <= memory.asked <= 3 * 2 * 2


def test_a_clocked_run_gives_the_same_numbers_and_the_seconds_of_each_step(box):
    tiles, others = tiles_of(11), tiles_of(11, seed=1)
    with open_session(box, "cpu", threads=1) as session:
        wanted, wanted_of_others = (bind(session).run(each) for each in (tiles, others))
        with device_spans(session) as spans:
            np.testing.assert_array_equal(session.run(tiles), wanted)
        assert list(spans) == list(SPANS)
        assert all(seconds > 0 for seconds in spans.values())
        np.testing.assert_array_equal(session.run(others), wanted_of_others)  # the output comes to this side again


def test_where_the_memory_of_a_card_cannot_be_reached_nothing_is_clocked(box):
    tiles = tiles_of(3)
    with open_session(box, "cpu", threads=1) as session:
        bind(session, Elsewhere())
        with device_spans(session) as spans:
            session.run(tiles)
    assert spans == {}


class Elsewhere(Memory):
    place = "cuda"


def test_lanes_that_nobody_uses_are_not_kept_without_end(box):
    memory = Counted()
    with open_session(box, "cpu", threads=1) as session:
        bind(session, memory)
        for _ in range(2):
            for side in range(4, 4 + 4 * 9, 4):  # nine shapes in turns, one more than are kept
                session.run(tiles_of(1, h=side))
    assert memory.asked == 2 * 9 * 2


def test_the_next_batch_is_sent_while_one_is_computed_and_no_two_are_computed_at_once(box):
    second = threading.Event()

    class Telling(Counted):
        def array(self, shape):
            if self.asked == 3:  # two of the lane that computes, and now those of the other
                second.set()
            return super().array(shape)

    with open_session(box, "cpu", threads=1) as session:
        watched = Watched(session.graph, lambda: second.wait(20))
        bind(session, Telling(), graph=watched)
        predicted = session.run(tiles_of(32))
        assert second.is_set()  # else the first would have been computed before anything else was sent
        assert watched.most == 1
        session.bound = None
        np.testing.assert_array_equal(predicted, session.run(tiles_of(32)))


def test_threads_at_once_get_their_own_numbers(both):
    plain, bound = both
    results = {}

    def work(k):
        for turn in range(10):
            results[k, turn] = bound.run(tiles_of(11, seed=k))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 40
    for (k, _), predicted in results.items():
        np.testing.assert_array_equal(predicted, plain.run(tiles_of(11, seed=k)))


def test_an_error_in_the_other_lane_ends_the_call(box):
    reached = threading.Event()

    class Failing(Memory):
        def array(self, shape):
            if threading.current_thread() is not threading.main_thread():
                reached.set()
                raise RuntimeError("CUDA failure 700: an illegal memory access; GPU=0")
            return super().array(shape)

    with open_session(box, "cpu", threads=1) as session:
        session.device = "cuda:0"  # whose errors have other words
        bind(session, Failing(), graph=Watched(session.graph, lambda: reached.wait(20)))
        session.bound.proven = True  # on a card that has run before
        with pytest.raises(SemrtError, match="device 'cuda:0' cannot be used: CUDA failure 700: an illegal memory"):
            session.run(tiles_of(64))
        bind(session)
        assert session.run(tiles_of(9)).shape == (9, 1, 32, 32)


def test_a_network_that_changes_the_size_of_its_tiles_is_refused(tmp_path):
    node = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])
    with open_session(write_model(tmp_path, graph([node], {})), "cpu") as session:
        bind(session)
        for device in ("cpu", "cuda:0"):
            session.device = device
            with pytest.raises(ModelDamaged, match=r"shape \{2,1,32,32\} but the computed output shape.*\{2,1,16,16\}"):
                session.run(tiles_of())


def test_a_closed_session_says_so_and_holds_no_lane(box):
    with open_session(box, "cpu") as session:
        bound = bind(session).bound
        session.run(tiles_of())
    with pytest.raises(SemrtError, match="box: the session is closed"):
        session.run(tiles_of())
    assert not bound._idle


BINDING = """
import sys
import numpy as np
import onnxruntime
from semrt.backends import open_session
from semrt.backends.onnxruntime_binding import BoundGraph
from semrt.backends.onnxruntime_memory import Memory

def bind(session, frugal=False):
    session.bound = BoundGraph(onnxruntime, session.graph, session.manifest, Memory(), ("cpu", 0), frugal=frugal)
"""
MEMORY = """
def resident():
    with open("/proc/self/statm") as told:
        return int(told.read().split()[1]) * 4096 / 2**20

for how in ("frugal", "spare", "keep"):
    with open_session(sys.argv[1], "cpu", threads=1) as session:
        bind(session, how == "frugal")
        session.run(np.zeros((1, 1, 64, 64), np.float32))
        if how == "spare":
            session.bound.spare()
        before = resident()
        session.run(np.zeros((1, 1, 2048, 2048), np.float32))
        print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_where_memory_is_short_or_ran_out_a_new_shape_gives_back_what_it_took(box):
    told = subprocess.run(
        [sys.executable, "-c", BINDING + MEMORY, str(box)], capture_output=True, text=True, check=True
    )
    frugal, spare, keep = (float(line) for line in told.stdout.split())
    lane = 2 * 2048**2 * 4 / 2**20  # MiB in and out, which stay
    assert keep > 3 * lane  # a convolution works on blocks of channels, and here there is but one
    assert frugal < 2 * lane
    assert spare < 2 * lane


def test_where_memory_has_another_name_nothing_is_given_back_and_the_result_is_right(box, both):
    plain, _ = both
    with open_session(box, "cpu", threads=1) as session:
        # The processor's session has no memory of a card, and says so in ONNX Runtime's own words.
        session.bound = BoundGraph(onnxruntime, session.graph, session.manifest, Memory(), ("cuda", 0), frugal=True)
        for n in (9, 3, 9):
            np.testing.assert_array_equal(session.run(tiles_of(n)), plain.run(tiles_of(n)))


def test_where_binding_itself_fails_batches_run_without_and_the_session_says_so(box, both):
    class Unbindable:
        def io_binding(self):
            raise TypeError("bind_output(): incompatible function arguments")

    plain, _ = both
    with open_session(box, "cpu", threads=1) as session:
        session.device = "cuda:0"  # whose errors are not the model's
        bind(session, graph=Unbindable())
        np.testing.assert_array_equal(session.run(tiles_of(9)), plain.run(tiles_of(9)))
        assert "batches not bound to memory, as device 'cuda:0' cannot be used: bind_output()" in session.reason
        assert (session.bound, session.lanes) == (None, 1)


def test_a_limit_that_is_reached_is_told_as_too_little_memory(box):
    """ONNX Runtime's own words for it, from a processor whose memory is limited as --gpu-mem limits that of a card."""
    code = """
from onnxruntime.capi import _pybind_state as state
from semrt.backends import onnxruntime as ours
from semrt.errors import OutOfMemory

place = state.OrtMemoryInfo("Cpu", state.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, state.OrtMemType.DEFAULT)
onnxruntime.create_and_register_allocator(place, state.OrtArenaCfg({"max_mem": 8 << 20, "arena_extend_strategy": 1}))
settings = ours._settings
def limited(*given):
    made = settings(*given)
    made.add_session_config_entry("session.use_env_allocators", "1")
    return made
ours._settings = limited
with open_session(sys.argv[1], "cpu", threads=1) as session:
    for bound in (False, True):
        if bound:
            bind(session)
        try:
            session.run(np.zeros((8, 1, 512, 512), np.float32))
        except OutOfMemory as error:
            print(error, "<-", "Available memory of" in str(error.__cause__))
        print(session.run(np.ones((1, 1, 64, 64), np.float32))[0, 0, 9, 9])
"""
    done = subprocess.run([sys.executable, "-c", BINDING + code, str(box)], capture_output=True, text=True, check=True)
    told = done.stdout.splitlines()
    assert told[0::2] == ["out of memory on cpu; use a smaller --tile or --batch <- True"] * 2
    np.testing.assert_allclose([float(value) for value in told[1::2]], 1.0, rtol=1e-6)


def test_the_options_of_a_card_hold_its_limit_and_no_tf32():
    assert "gpu_mem_limit" not in cuda.provider_options(0)
    options = cuda.provider_options(1, 3 << 30)
    assert (options["gpu_mem_limit"], options["device_id"], options["use_tf32"]) == (str(3 << 30), "1", "0")


@needs_cuda
@pytest.mark.gpu
@pytest.mark.parametrize("name", sorted(models.available()))
def test_a_card_gives_bound_what_it_gives_unbound(name):
    channels = Reference.read(models.find(name), Manifest.read(models.find(name))).channels
    tiles = np.tile(channels, (10, 1, 1, 1))
    with open_session(name, "cuda") as session:
        assert "page-locked" not in session.reason
        for _ in range(3):
            predicted = session.run(tiles)
            (wanted,) = session.graph.run(None, {session.manifest.input: tiles[:8]})
            np.testing.assert_allclose(predicted[:8], wanted, rtol=0, atol=1e-6)
            np.testing.assert_allclose(predicted[-2:], wanted[:2], rtol=0, atol=1e-5)
        with device_spans(session) as spans:
            np.testing.assert_allclose(session.run(tiles), predicted, rtol=0, atol=1e-6)
        assert list(spans) == list(SPANS)


@needs_cuda
@pytest.mark.gpu
def test_a_card_stays_within_the_memory_that_it_may_take():
    with open_session("columns", "cuda", gpu_memory=1 << 30) as session:
        channels = np.zeros((8, len(session.manifest.input_channels), 2048, 2048), np.float32)
        with pytest.raises(OutOfMemory, match="out of memory on cuda:0"):
            session.run(channels)
        assert np.isfinite(session.run(channels[:1, :, :256, :256])).all()
