"""The pipeline: stages overlap, order is kept, memory is bounded, and one bad input harms no other."""

import _thread
import gc
import itertools
import threading
import time
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semrt import pipeline
from semrt.errors import Interrupted, UnreadableFile


def running_stages():
    return [thread for thread in threading.enumerate() if thread.name.startswith("semrt-")]


def square_stages(**changes):
    stages = {
        "read": lambda item, _: item,
        "run": lambda _, value: value**2,
        "write": lambda _, value: value + 1,
    }
    return {**stages, **changes}


@settings(deadline=None, max_examples=15)
@given(items=st.lists(st.integers(0, 100), max_size=20), depth=st.integers(1, 4))
def test_every_item_comes_out_in_order_having_passed_all_stages(items, depth):
    outcomes = list(pipeline.run(items, square_stages(), depth=depth))
    assert [outcome.item for outcome in outcomes] == items
    assert [outcome.result for outcome in outcomes] == [item**2 + 1 for item in items]
    assert all(list(outcome.seconds) == ["read", "run", "write"] for outcome in outcomes)
    assert not running_stages()


@pytest.mark.parametrize("failing", ["read", "run", "write"])
def test_an_input_that_fails_in_any_stage_stops_no_other(failing):
    def fail_on_seven(item, value):
        if item == 7:
            raise UnreadableFile("seven.tif", "truncated")
        return value if failing != "read" else item

    outcomes = list(pipeline.run(range(10), square_stages(**{failing: fail_on_seven})))
    assert [outcome.item for outcome in outcomes] == list(range(10))
    assert [outcome.item for outcome in outcomes if outcome.error] == [7]
    failed = outcomes[7]
    assert isinstance(failed.error, UnreadableFile)
    assert failed.result is None
    assert list(failed.seconds)[-1] == failing


def test_three_stages_of_one_pace_take_little_more_than_the_time_of_one():
    def pause(_, value):
        time.sleep(0.05)  # as files and networks do, it lets go of the interpreter
        return value

    started = time.perf_counter()
    outcomes = list(pipeline.run(range(10), {"read": pause, "run": pause, "write": pause}))
    seconds = time.perf_counter() - started
    assert len(outcomes) == 10
    assert seconds < 0.75 * sum(sum(outcome.seconds.values()) for outcome in outcomes)


def test_no_more_images_are_alive_than_the_stages_and_their_queues_hold():
    alive, most = weakref.WeakSet(), 0

    class Image:
        pass

    def read(item, _):
        nonlocal most
        image = Image()
        alive.add(image)
        most = max(most, len(alive))
        return image

    def slow(_, image):
        time.sleep(0.01)
        return image

    depth = 2
    stages = {"read": read, "run": lambda _, image: image, "write": slow, "name": lambda item, _: item}
    assert len(list(pipeline.run(range(40), stages, depth=depth))) == 40
    assert most <= 4 + 3 * depth  # one in each stage, `depth` before each of the last three
    gc.collect()
    assert not alive


def test_items_are_taken_no_faster_than_they_are_used():
    taken = []

    def endless():
        for item in itertools.count():
            taken.append(item)
            yield item

    outcomes = pipeline.run(endless(), square_stages(), depth=1)
    assert next(outcomes).result == 1
    time.sleep(0.2)
    assert len(taken) <= 1 + 3 + 3 + 1  # the one used, one in each stage, one in each queue, one offered
    outcomes.close()
    assert not running_stages()


def test_what_the_list_of_items_raises_is_raised_after_the_items_before_it():
    def listing():
        yield 1
        raise OSError("the folder went away")

    outcomes = pipeline.run(listing(), square_stages())
    assert next(outcomes).result == 2
    with pytest.raises(OSError, match="went away"):
        next(outcomes)


def test_an_interrupt_stops_promptly_and_leaves_what_is_written_whole(tmp_path):
    writing = threading.Event()

    def write(item, value):
        path = tmp_path / f"{item}.npy"
        writing.set()
        time.sleep(0.05)
        np.save(path, np.full((64, 64), value))
        return path

    def interrupt():
        writing.wait(5)
        _thread.interrupt_main()  # what Ctrl-C does

    interrupter = threading.Thread(target=interrupt)
    started = time.perf_counter()
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        list(pipeline.run(itertools.count(), square_stages(write=write)))
    interrupter.join()
    assert time.perf_counter() - started < 5
    assert not running_stages()
    for path in tmp_path.iterdir():
        assert np.load(path).shape == (64, 64)


def test_a_long_stage_may_look_at_the_flag_and_stop():
    stop, working = threading.Event(), threading.Event()

    def long(item, _):
        working.set()
        while not stop.is_set():
            time.sleep(0.005)
        raise Interrupted

    outcomes = pipeline.run([1, 2, 3], {"run": long}, stop=stop)
    threading.Thread(target=lambda: (working.wait(5), stop.set())).start()
    assert list(outcomes) == []
    assert not running_stages()


def test_a_kept_error_holds_no_images():
    released = []

    def fail(item, _):
        image = np.zeros(8)
        weakref.finalize(image, released.append, item)
        try:
            raise ValueError(f"{image.size} pixels")
        except ValueError as error:
            raise UnreadableFile("x.tif", error) from error

    (outcome,) = pipeline.run(["x"], {"read": fail})
    gc.collect()
    assert released == ["x"]
    assert "8 pixels" in str(outcome.error)
    assert outcome.error.__traceback__ is not None  # it can still be printed


def test_an_error_that_is_its_own_cause_ends_the_way_of_its_item():
    def stage(item, _):
        error = ValueError("round and round")
        raise error from error

    (outcome,) = pipeline.run([1], {"stage": stage})
    assert isinstance(outcome.error, ValueError)
