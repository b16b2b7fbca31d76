// NumPy arrays as views, and what is said of those that do not fit.
//
// Arguments are refused (.noconvert()) rather than converted: semrt/kernels converts, once.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "kernels/position.hpp"
#include "kernels/view.hpp"

#include <string>
#include <utility>
#include <vector>

namespace semrt::bindings {

namespace py = pybind11;

template <class T>
using Array = py::array_t<T, py::array::c_style>;

template <class T>
Array<T> new_array(std::vector<py::ssize_t> shape) {
    return Array<T>(std::move(shape));
}

[[noreturn]] inline void wrong_dimension(char const *name, char const *wanted, py::ssize_t got) {
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

inline void require_same_shape(bool same, char const *names) {
    if (!same) throw py::value_error(std::string(names) + ": expected the same shape");
}

inline semrt::View1D<semrt::Position const> positions_view(Array<double> const &positions) {
    if (positions.ndim() != 2 || positions.shape(1) != 2) wrong_dimension("positions", "(n, 2)", positions.ndim());
    return {reinterpret_cast<semrt::Position const *>(positions.data()), positions.shape(0)};
}

// Each subject adds its functions to the module.
void bind_scan_path(py::module_ &m);
void bind_rasterise(py::module_ &m);
void bind_fill(py::module_ &m);
void bind_kriging(py::module_ &m);
void bind_columns(py::module_ &m);
void bind_tilt(py::module_ &m);
void bind_layers(py::module_ &m);
void bind_blend(py::module_ &m);

}  // namespace semrt::bindings
