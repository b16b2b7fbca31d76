#include "arrays.hpp"

#include "kernels/blend.hpp"

namespace semrt::bindings {

namespace {

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

}  // namespace

void bind_blend(py::module_ &m) {
    m.def("cut_tile", &cut_tile, py::arg("field").noconvert(), py::arg("origin"), py::arg("reflect"),
          py::arg("tile").noconvert(), py::arg("n_threads"));
    m.def("add_tile", &add_tile, py::arg("tile").noconvert(), py::arg("window_z").noconvert(),
          py::arg("window_y").noconvert(), py::arg("window_x").noconvert(), py::arg("origin"),
          py::arg("canvas").noconvert(), py::arg("n_threads"));
}

}  // namespace semrt::bindings
