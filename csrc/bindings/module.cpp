// The module semrt._core. Only the files of this folder know Python: they check, view, release the GIL and call.
#include "arrays.hpp"

PYBIND11_MODULE(_core, m) {
    namespace bindings = semrt::bindings;
    m.doc() = "C++ kernels of semrt; semrt.kernels is the documented door to them.";
    bindings::bind_scan_path(m);
    bindings::bind_rasterise(m);
    bindings::bind_fill(m);
    bindings::bind_kriging(m);
    bindings::bind_columns(m);
    bindings::bind_tilt(m);
    bindings::bind_layers(m);
    bindings::bind_blend(m);
}
