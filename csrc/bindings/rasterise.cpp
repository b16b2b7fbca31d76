#include "arrays.hpp"

#include "kernels/rasterise.hpp"

#include <optional>

namespace semrt::bindings {

namespace {

semrt::Footprint footprint_of(bool split, double sigma) {
    if (sigma > 0) return semrt::Footprint::gaussian;
    return split ? semrt::Footprint::bilinear : semrt::Footprint::pixel;
}

py::tuple rasterise(Array<double> const &positions, std::pair<py::ssize_t, py::ssize_t> shape,
                    Array<double> const &dwell_time, std::optional<Array<double>> const &intensities, bool split,
                    double sigma, int n_threads) {
    auto const at = positions_view(positions);
    auto const times = view1(dwell_time, "dwell_time");
    semrt::View1D<double const> signal{nullptr, 0};
    if (intensities) signal = view1(*intensities, "intensities");
    require_same_shape(times.n == at.n && (!intensities || signal.n == at.n), "positions, dwell_time, intensities");
    auto visited = new_array<bool>({shape.first, shape.second});
    auto exposed = new_array<float>({shape.first, shape.second});
    auto intensity = new_array<float>({shape.first, shape.second});
    auto const visited_view = out2(visited);
    auto const exposed_view = out2(exposed), intensity_view = out2(intensity);
    semrt::index outside = 0;
    {
        py::gil_scoped_release const released;
        outside = semrt::rasterise(at, times, signal, footprint_of(split, sigma), sigma, visited_view, exposed_view,
                                   intensity_view, n_threads);
    }
    return py::make_tuple(visited, exposed, intensity, outside);
}

Array<float> record(Array<float> const &image, Array<double> const &positions, bool split, double sigma,
                    int n_threads) {
    auto const seen = view2(image, "image");
    auto const at = positions_view(positions);
    auto recorded = new_array<float>({positions.shape(0)});
    auto const recorded_view = out1(recorded);
    py::gil_scoped_release const released;
    semrt::record(seen, at, footprint_of(split, sigma), sigma, recorded_view, n_threads);
    return recorded;
}

}  // namespace

void bind_rasterise(py::module_ &m) {
    using namespace py::literals;
    m.def("rasterise", &rasterise, "positions"_a.noconvert(), "shape"_a, "dwell_time"_a.noconvert(),
          "intensities"_a.noconvert(), "split"_a, "sigma"_a, "n_threads"_a);
    m.def("record", &record, "image"_a.noconvert(), "positions"_a.noconvert(), "split"_a, "sigma"_a, "n_threads"_a);
}

}  // namespace semrt::bindings
