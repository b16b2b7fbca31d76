#include "arrays.hpp"

#include "kernels/fill.hpp"

namespace semrt::bindings {

namespace {

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

}  // namespace

void bind_fill(py::module_ &m) {
    m.def("natural_neighbour", &natural_neighbour, py::arg("intensity").noconvert(), py::arg("visited").noconvert(),
          py::arg("smooth"), py::arg("n_threads"));
    m.def("distance_to_sample", &distance_to_sample, py::arg("visited").noconvert(), py::arg("n_threads"));
}

}  // namespace semrt::bindings
