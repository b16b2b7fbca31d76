// The one file that knows Python: check, view, release the GIL, call.
//
// Arguments are refused (.noconvert()) rather than converted: semrt/kernels.py converts, once.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "kernels/view.hpp"

namespace py = pybind11;

namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style>;

template <class T>
Array<T> new_array(std::vector<py::ssize_t> shape) {
    return Array<T>(std::move(shape));
}

[[noreturn]] void wrong_dimension(char const *name, char const *wanted, py::ssize_t got) {
    throw py::value_error(std::string(name) + ": expected shape " + wanted + ", got " + std::to_string(got) +
                          " dimensions");
}

template <class T>
semrt::View1D<T const> view1(Array<T> const &array, char const *name) {
    if (array.ndim() != 1) wrong_dimension(name, "(n,)", array.ndim());
    return {array.data(), array.shape(0)};
}

template <class T>
semrt::View2D<T const> view2(Array<T> const &array, char const *name) {
    if (array.ndim() != 2) wrong_dimension(name, "(ny, nx)", array.ndim());
    return {array.data(), array.shape(0), array.shape(1)};
}

template <class T>
semrt::View3D<T const> view3(Array<T> const &array, char const *name) {
    if (array.ndim() != 3) wrong_dimension(name, "(nz, ny, nx)", array.ndim());
    return {array.data(), array.shape(0), array.shape(1), array.shape(2)};
}

template <class T>
semrt::View1D<T> out1(Array<T> &array) {
    return {array.mutable_data(), array.shape(0)};
}

template <class T>
semrt::View2D<T> out2(Array<T> &array) {
    return {array.mutable_data(), array.shape(0), array.shape(1)};
}

template <class T>
semrt::View3D<T> out3(Array<T> &array) {
    return {array.mutable_data(), array.shape(0), array.shape(1), array.shape(2)};
}

void require_same_shape(bool same, char const *names) {
    if (!same) throw py::value_error(std::string(names) + ": expected the same shape");
}

// ---------------------------------------------------------------------------------------------------- scan_path

void bind_scan_path(py::module_ &m) { (void)m; }

// ---------------------------------------------------------------------------------------------------- rasterise

void bind_rasterise(py::module_ &m) { (void)m; }

// --------------------------------------------------------------------------------------------------------- fill

void bind_fill(py::module_ &m) { (void)m; }

// ------------------------------------------------------------------------------------------------------ kriging

void bind_kriging(py::module_ &m) { (void)m; }

// -------------------------------------------------------------------------------------------------------- blend

void bind_blend(py::module_ &m) { (void)m; }

}  // namespace

PYBIND11_MODULE(_core, m) {
    m.doc() = "C++ kernels of semrt; semrt.kernels is the documented door to them.";
    bind_scan_path(m);
    bind_rasterise(m);
    bind_fill(m);
    bind_kriging(m);
    bind_blend(m);
}
