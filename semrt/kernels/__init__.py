"""The one door to the C++ core: defaults, dtypes and documentation; one module for each kernel."""

from semrt.kernels._threads import thread_count

__all__ = ["thread_count"]
