// The one file that knows Python: check, view, release the GIL, call.
//
// Arguments are refused (.noconvert()) rather than converted: semrt/kernels.py converts, once.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "kernels/blend.hpp"
#include "kernels/fill.hpp"
#include "kernels/kriging.hpp"
#include "kernels/variogram.hpp"
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

Array<float> natural_neighbour(Array<float> const &intensity, Array<bool> const &visited, double smooth,
                               int n_threads) {
    auto const intensity_view = view2(intensity, "intensity");
    auto const visited_view = view2(visited, "visited");
    require_same_shape(intensity_view.ny == visited_view.ny && intensity_view.nx == visited_view.nx,
                       "intensity, visited");
    auto filled = new_array<float>({visited.shape(0), visited.shape(1)});
    auto const filled_view = out2(filled);
    py::gil_scoped_release const released;
    semrt::natural_neighbour(intensity_view, visited_view, filled_view, n_threads);
    if (smooth > 0) semrt::smooth_gaussian(filled_view, smooth, n_threads);
    return filled;
}

Array<float> distance_to_sample(Array<bool> const &visited, int n_threads) {
    auto const visited_view = view2(visited, "visited");
    auto distance = new_array<float>({visited.shape(0), visited.shape(1)});
    auto const distance_view = out2(distance);
    py::gil_scoped_release const released;
    semrt::distance_to_sample(visited_view, distance_view, n_threads);
    return distance;
}

void bind_fill(py::module_ &m) {
    m.def("natural_neighbour", &natural_neighbour, py::arg("intensity").noconvert(), py::arg("visited").noconvert(),
          py::arg("smooth"), py::arg("n_threads"));
    m.def("distance_to_sample", &distance_to_sample, py::arg("visited").noconvert(), py::arg("n_threads"));
}

// ------------------------------------------------------------------------------------------------------ kriging

py::tuple fit_variogram(Array<float> const &intensity, Array<bool> const &visited, std::uint64_t seed) {
    auto const values = view2(intensity, "intensity");
    auto const mask = view2(visited, "visited");
    require_same_shape(values.ny == mask.ny && values.nx == mask.nx, "intensity and visited");
    semrt::Variogram fitted;
    {
        py::gil_scoped_release release;
        fitted = semrt::fit_variogram(values, mask, seed);
    }
    return py::make_tuple(fitted.nugget, fitted.sill, fitted.range, fitted.exponent);
}

py::tuple krige(Array<float> const &intensity, Array<bool> const &visited, std::optional<Array<float>> const &exposure,
                std::optional<Array<bool>> const &wanted, std::array<double, 4> const &variogram, int n_threads) {
    auto const values = view2(intensity, "intensity");
    auto const mask = view2(visited, "visited");
    auto const same = [&](auto const &view) { return view.ny == values.ny && view.nx == values.nx; };
    semrt::View2D<float const> exposures{nullptr, 0, 0};
    semrt::View2D<bool const> targets{nullptr, 0, 0};
    if (exposure) exposures = view2(*exposure, "exposure");
    if (wanted) targets = view2(*wanted, "wanted");
    require_same_shape(same(mask) && (!exposure || same(exposures)) && (!wanted || same(targets)),
                       "intensity, visited, exposure and wanted");
    auto estimate = new_array<float>({values.ny, values.nx});
    auto variance = new_array<float>({values.ny, values.nx});
    auto const estimates = out2(estimate), variances = out2(variance);
    {
        py::gil_scoped_release release;
        if (wanted) std::fill_n(estimates.data, estimates.size(), 0.0F), std::fill_n(variances.data, variances.size(), 0.0F);
        semrt::krige(values, mask, exposures, targets, {variogram[0], variogram[1], variogram[2], variogram[3]}, estimates,
                     variances, n_threads);
    }
    return py::make_tuple(estimate, variance);
}

void bind_kriging(py::module_ &m) {
    using namespace py::literals;
    m.def("fit_variogram", &fit_variogram, "intensity"_a.noconvert(), "visited"_a.noconvert(), "seed"_a);
    m.def("krige", &krige, "intensity"_a.noconvert(), "visited"_a.noconvert(), "exposure"_a.noconvert(),
          "wanted"_a.noconvert(), "variogram"_a, "n_threads"_a);
}

// -------------------------------------------------------------------------------------------------------- blend

// (channels, ny, nx) or (channels, nz, ny, nx).
template <class T>
semrt::Channels<T> channels_of(Array<float> const &array, T *data, char const *name) {
    if (array.ndim() == 3) return {data, array.shape(0), 1, array.shape(1), array.shape(2)};
    if (array.ndim() == 4) return {data, array.shape(0), array.shape(1), array.shape(2), array.shape(3)};
    wrong_dimension(name, "(n, ny, nx) or (n, nz, ny, nx)", array.ndim());
}

void cut_tile(Array<float> const &field, semrt::Origin origin, bool reflect, Array<float> tile, int n_threads) {
    auto const from = channels_of(field, field.data(), "field");
    auto const to = channels_of(tile, tile.mutable_data(), "tile");
    require_same_shape(from.n == to.n, "channels of field, tile");
    if (field.size() == 0) throw py::value_error("field: expected at least one pixel, got none");
    py::gil_scoped_release const released;
    semrt::cut_tile(from, origin, reflect ? semrt::Border::reflect : semrt::Border::edge, to, n_threads);
}

void add_tile(Array<float> const &tile, Array<float> const &window_z, Array<float> const &window_y,
              Array<float> const &window_x, semrt::Origin origin, Array<float> canvas, int n_threads) {
    auto const from = channels_of(tile, tile.data(), "tile");
    auto const to = channels_of(canvas, canvas.mutable_data(), "canvas");
    semrt::Window const window{view1(window_z, "window_z"), view1(window_y, "window_y"), view1(window_x, "window_x")};
    require_same_shape(from.n == to.n, "channels of tile, canvas");
    require_same_shape(window.z.n == from.nz && window.y.n == from.ny && window.x.n == from.nx, "tile, window");
    py::gil_scoped_release const released;
    semrt::add_tile(from, window, origin, to, n_threads);
}

void bind_blend(py::module_ &m) {
    m.def("cut_tile", &cut_tile, py::arg("field").noconvert(), py::arg("origin"), py::arg("reflect"),
          py::arg("tile").noconvert(), py::arg("n_threads"));
    m.def("add_tile", &add_tile, py::arg("tile").noconvert(), py::arg("window_z").noconvert(),
          py::arg("window_y").noconvert(), py::arg("window_x").noconvert(), py::arg("origin"),
          py::arg("canvas").noconvert(), py::arg("n_threads"));
}

}  // namespace

PYBIND11_MODULE(_core, m) {
    m.doc() = "C++ kernels of semrt; semrt.kernels is the documented door to them.";
    bind_scan_path(m);
    bind_rasterise(m);
    bind_fill(m);
    bind_kriging(m);
    bind_blend(m);
}
