"""Memory that a card copies from and to by itself: asked for at a CUDA runtime, here one whose card is the host."""

import ctypes
import gc
import shutil
import subprocess
import sys

import numpy as np
import pytest

from semrt.backends.onnxruntime_memory import PinnedMemory, loaded_runtime

RUNTIME = """
#include <stdlib.h>
#include <string.h>
int card = -1, held = 0, forgotten = 0, full = 0;
int cudaSetDevice(int index) { card = index; return 0; }
int cudaHostAlloc(void **address, size_t n_bytes, unsigned int flags) {
  if (full || flags != 1u || n_bytes != 2u * 3u * 4u * 4u) return 2;
  *address = calloc(n_bytes, 1);
  held += 1;
  return 0;
}
int cudaMemcpy(void *to, const void *from, size_t n_bytes, int direction) {
  if (full || direction != 2) return 1;
  memcpy(to, from, n_bytes);
  return 0;
}
int cudaFreeHost(void *address) { free(address); held -= 1; return 0; }
int cudaGetLastError(void) { forgotten += 1; return full ? 2 : 0; }
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """A CUDA runtime whose page-locked memory is any memory, and that counts."""
    compiler = shutil.which("cc") or pytest.skip("no C compiler here")
    folder = tmp_path_factory.mktemp("runtime")
    (folder / "runtime.c").write_text(RUNTIME)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", "libtoy.so", "runtime.c"], cwd=folder, check=True)
    return folder / "libtoy.so"


def test_page_locked_memory_is_asked_for_at_the_card_and_freed_with_its_last_view(runtime):
    library = ctypes.CDLL(str(runtime))
    held = ctypes.c_int.in_dll(library, "held")
    array = PinnedMemory(library, 3).array((2, 3, 4))
    assert (array.shape, array.dtype, held.value) == ((2, 3, 4), np.float32, 1)
    assert ctypes.c_int.in_dll(library, "card").value == 3
    array[...] = 7
    part = array[1, :, 2:]
    del array
    gc.collect()
    assert held.value == 1
    np.testing.assert_array_equal(part, 7)
    del part
    gc.collect()
    assert held.value == 0


def test_what_a_card_computed_is_fetched_from_its_memory_or_refused(runtime):
    library = ctypes.CDLL(str(runtime))
    on_card, here = np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.zeros((2, 3, 4), np.float32)
    memory = PinnedMemory(library, 2)
    memory.fetch(on_card.ctypes.data, here)
    np.testing.assert_array_equal(here, on_card)
    assert ctypes.c_int.in_dll(library, "card").value == 2
    full = ctypes.c_int.in_dll(library, "full")
    full.value = 1
    with pytest.raises(RuntimeError, match="CUDA failure 1"):
        memory.fetch(on_card.ctypes.data, here)
    full.value = 0


def test_where_no_more_pages_can_be_locked_any_memory_will_do(runtime):
    library = ctypes.CDLL(str(runtime))
    full, forgotten = (ctypes.c_int.in_dll(library, name) for name in ("full", "forgotten"))
    full.value, before = 1, forgotten.value
    array = PinnedMemory(library, 0).array((2, 3, 4))
    full.value = 0
    array[...] = 1
    assert array.sum() == 24
    assert forgotten.value == before + 1  # the error is not left for whoever calls next
    assert ctypes.c_int.in_dll(library, "held").value == 0


@pytest.mark.skipif(sys.platform == "win32", reason="as Linux looks for libraries")
def test_a_runtime_that_nobody_loaded_is_not_loaded(runtime):
    assert loaded_runtime(["libnone.so.13"]) is None
    held = ctypes.CDLL(str(runtime))
    assert loaded_runtime(["libnone.so.13", str(runtime)])._handle == held._handle
