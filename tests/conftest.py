"""What every test stands on."""

import os
import signal

import pytest
from hypothesis import settings

from semrt.backends.engine_cache import EngineCache

# Processes that the tests start must import the installed package, not the sources in the folder they start in, which
# hold no C++ core.
os.environ["PYTHONSAFEPATH"] = "1"

# A shell starts what runs in the background with Ctrl-C ignored, and Python leaves it so; tests of Ctrl-C would wait
# for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Drawn examples are the same in every run, here as where the variable CI is set: a failure is one of the code.
settings.load_profile("ci")


@pytest.fixture
def engine_cache(tmp_path, monkeypatch):
    """Where the engines of this test are kept, and of no other."""
    monkeypatch.setenv("SEMRT_CACHE", str(tmp_path / "cache"))
    return EngineCache()


@pytest.fixture
def standin(monkeypatch):
    """TensorRT, as far as semrt can tell."""
    from standin_toolchain import Standin, install

    return install(monkeypatch, Standin())
