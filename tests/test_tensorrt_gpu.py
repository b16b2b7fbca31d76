"""TensorRT itself, on a card: the shipped models' engines, compared, served, and as fast to open as to find."""

import threading

import numpy as np
import pytest

from semrt.backends import Device, open_session
from semrt.backends.tensorrt_build import build_engine
from semrt.backends.tensorrt_toolchain import toolchain_for
from semrt.errors import DeviceUnavailable, Interrupted, MissingDependency
from semrt.models import Manifest, Reference, find

CARD = Device("tensorrt")


def why_not():
    try:
        toolchain_for(CARD)
    except (DeviceUnavailable, MissingDependency) as error:
        return str(error)
    return None


WHY_NOT = why_not()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(WHY_NOT is not None, reason=f"no TensorRT here: {WHY_NOT}"),
]


@pytest.fixture(scope="module", params=["columns", "infill"])
def built(request, tmp_path_factory):
    folder = find(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMRT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield folder, build_engine(folder, Manifest.read(folder), CARD)


def test_an_engine_of_a_shipped_model_gives_the_numbers_of_the_processor(built):
    folder, engine = built
    assert engine.new
    assert engine.meta["gate"]["passed"]
    reference = Reference.read(folder, Manifest.read(folder))
    with open_session(folder, "tensorrt") as session:
        for _ in range(3):  # the second and third by a CUDA graph
            np.testing.assert_allclose(session.run(reference.channels), reference.estimate, rtol=0, atol=1e-3)


def test_threads_at_once_get_their_own_numbers(built):
    folder, _ = built
    reference = Reference.read(folder, Manifest.read(folder))
    with open_session(folder, "tensorrt") as session:
        wanted = [session.run(tile[np.newaxis]) for tile in reference.channels]
        results = {}

        def work(k):
            for turn in range(20):
                one = (k + turn) % len(wanted)
                results[k, turn] = np.abs(session.run(reference.channels[one : one + 1]) - wanted[one]).max()

        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(results) == 80
    assert max(results.values()) < 1e-5


def test_a_second_build_finds_the_first(built):
    folder, engine = built
    again = build_engine(folder, Manifest.read(folder), CARD)
    assert (again.new, again.key) == (False, engine.key)


def test_a_build_ends_soon_after_its_progress_call_raises(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMRT_CACHE", str(tmp_path))
    folder = find("infill")

    def progress(done, total, what):
        if done > 0:
            raise Interrupted

    with pytest.raises(Interrupted):
        build_engine(folder, Manifest.read(folder), CARD, progress=progress)
    assert [path for path in (tmp_path / "engines").iterdir() if path.suffix != ".lock"] == []
