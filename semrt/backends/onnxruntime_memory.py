"""Memory that ONNX Runtime reads and writes batches in: page-locked where there is a card, so that it copies by itself.

ONNX Runtime has such memory, but its Python package gives none of it: it is asked for at the CUDA runtime that the
CUDA provider has loaded. https://docs.nvidia.com/cuda/cuda-runtime-api (cudaHostAlloc).
"""

from __future__ import annotations

import ctypes
import os
import sys
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["Memory", "PinnedMemory", "loaded_runtime"]

_ANY_CARD = 1  # cudaHostAllocPortable
_TO_HOST = 2  # cudaMemcpyDeviceToHost
_MAJORS = (13, 12)  # of CUDA, as onnxruntime-gpu is built for


class Memory:
    """Memory as any other.  pinned: whether it is page-locked.  place: the device whose memory `fetch` can read."""

    pinned = False
    place = "cpu"

    def array(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """An array of float32, whose contents are whatever was there."""
        return np.empty(shape, np.float32)

    def fetch(self, address: int, array: NDArray[np.float32]) -> None:
        """Copy from an address on the device to a whole array, and wait for it."""
        ctypes.memmove(array.ctypes.data, address, array.nbytes)


class PinnedMemory(Memory):
    """Page-locked memory, which a card copies from and to while the processor does other work.

    library: the CUDA runtime.  index: of the card, as a thread that asks for memory must say which it works for.
    """

    pinned = True
    place = "cuda"

    def __init__(self, library: ctypes.CDLL, index: int) -> None:
        self._library = library
        self._index = index

    def array(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """An array of float32; as any other, where the system locks no more pages.  It is freed with its last view."""
        n_values = int(np.prod(shape))
        address = ctypes.c_void_p()
        free: Any = self._library.cudaFreeHost
        refused = self._library.cudaSetDevice(ctypes.c_int(self._index)) or self._library.cudaHostAlloc(
            ctypes.byref(address), ctypes.c_size_t(4 * n_values), ctypes.c_uint(_ANY_CARD)
        )
        if refused or not address.value:
            self._library.cudaGetLastError()  # which forgets it: nobody need hear of it at the next call
            return super().array(shape)
        held = (ctypes.c_float * n_values).from_address(address.value)
        weakref.finalize(held, free, ctypes.c_void_p(address.value))
        return np.ctypeslib.as_array(held).reshape(shape)

    def fetch(self, address: int, array: NDArray[np.float32]) -> None:
        """Copy from an address on the card to a whole array, and wait for it.  Raises RuntimeError."""
        refused = self._library.cudaSetDevice(ctypes.c_int(self._index)) or self._library.cudaMemcpy(
            ctypes.c_void_p(array.ctypes.data),
            ctypes.c_void_p(address),
            ctypes.c_size_t(array.nbytes),
            ctypes.c_int(_TO_HOST),
        )
        if refused:
            self._library.cudaGetLastError()
            raise RuntimeError(f"CUDA failure {refused}: nothing was copied from the card")


def loaded_runtime(names: Iterable[str] | None = None) -> ctypes.CDLL | None:
    """The CUDA runtime that this process has loaded; None where it has not, and none is loaded for it.

    names: of the library, by default those of the versions that ONNX Runtime is built for.
    """
    windows = sys.platform == "win32"
    if names is None:
        names = [f"cudart64_{major}.dll" if windows else f"libcudart.so.{major}" for major in _MAJORS]
    mode = ctypes.DEFAULT_MODE if windows else os.RTLD_NOLOAD | os.RTLD_NOW
    for name in names:
        try:
            return ctypes.CDLL(name, mode=mode)
        except OSError:
            continue
    return None
