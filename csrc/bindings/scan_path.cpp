#include "arrays.hpp"

#include "kernels/coil_lag.hpp"
#include "kernels/scan_order.hpp"
#include "kernels/scan_path.hpp"

#include <memory>

namespace semrt::bindings {

namespace {

// Hands a path over to NumPy as (n, 2) without copying it.
py::array_t<double> positions_of(semrt::Path path) {
    static_assert(sizeof(semrt::Position) == 2 * sizeof(double), "positions are pairs of doubles");
    auto owned = std::make_unique<semrt::Path>(std::move(path));
    auto const n = static_cast<py::ssize_t>(owned->size());
    auto *const first = n > 0 ? &owned->front().y : nullptr;
    py::capsule const owner(owned.release(), [](void *held) { delete static_cast<semrt::Path *>(held); });
    return py::array_t<double>({n, py::ssize_t{2}}, first, owner);
}

// draw(shape, coverage, ...) as a function of Python, without the GIL.
template <class... Arguments>
auto without_gil(semrt::Path (*draw)(semrt::Shape, double, Arguments...)) {
    return [draw](std::pair<py::ssize_t, py::ssize_t> shape, double coverage, Arguments... arguments) {
        semrt::Path path;
        {
            py::gil_scoped_release const released;
            path = draw({shape.first, shape.second}, coverage, arguments...);
        }
        return positions_of(std::move(path));
    };
}

semrt::Path spiral(semrt::Shape shape, double coverage, std::string const &kind, std::pair<double, double> centre,
                   double angle, double angle_step, bool keep_outside) {
    auto const spiral = kind == "archimedean" ? semrt::Spiral::archimedean
                        : kind == "fermat"    ? semrt::Spiral::fermat
                                              : semrt::Spiral::clv;
    return semrt::spiral(shape, coverage, spiral, {centre.first, centre.second}, angle, angle_step, keep_outside);
}

double ede_nominal(std::pair<py::ssize_t, py::ssize_t> shape, double coverage) {
    py::gil_scoped_release const released;
    return semrt::ede_nominal({shape.first, shape.second}, coverage);
}

Array<double> coil_lag(Array<double> const &nominal, Array<double> const &dwell_time, Array<double> const &wait,
                       double time_constant, double delay, double slew_limit) {
    auto const asked = positions_view(nominal);
    auto const times = view1(dwell_time, "dwell_time"), waits = view1(wait, "wait");
    require_same_shape(times.n == asked.n && waits.n == asked.n, "nominal, dwell_time, wait");
    auto mean = new_array<double>({nominal.shape(0), 2});
    semrt::View1D<semrt::Position> const mean_view{reinterpret_cast<semrt::Position *>(mean.mutable_data()), asked.n};
    py::gil_scoped_release const released;
    semrt::coil_lag(asked, times, waits, {time_constant, delay, slew_limit}, mean_view);
    return mean;
}

Array<std::int64_t> nearest_order(Array<double> const &positions) {
    auto const at = positions_view(positions);
    auto order = new_array<std::int64_t>({positions.shape(0)});
    auto const order_view = out1(order);
    py::gil_scoped_release const released;
    auto const found = semrt::nearest_order(at);
    std::copy(found.begin(), found.end(), order_view.begin());
    return order;
}

}  // namespace

void bind_scan_path(py::module_ &m) {
    using namespace py::literals;
    m.def("raster", without_gil(&semrt::raster), "shape"_a, "coverage"_a, "snake"_a);
    m.def("interleaved", without_gil(&semrt::interleaved), "shape"_a, "coverage"_a, "skip"_a);
    m.def("line_hop", without_gil(&semrt::line_hop), "shape"_a, "coverage"_a, "run"_a, "seed"_a);
    m.def("random_walk", without_gil(&semrt::random_walk), "shape"_a, "coverage"_a, "amplitude"_a, "seed"_a);
    m.def("spiral", without_gil(&spiral), "shape"_a, "coverage"_a, "kind"_a, "centre"_a, "angle"_a, "angle_step"_a,
          "keep_outside"_a);
    m.def("lissajous", without_gil(&semrt::lissajous), "shape"_a, "coverage"_a, "ratio"_a, "phase"_a);
    m.def("hilbert", without_gil(&semrt::hilbert), "shape"_a, "coverage"_a);
    m.def("jittered_grid", without_gil(&semrt::jittered_grid), "shape"_a, "coverage"_a, "jitter"_a, "seed"_a);
    m.def("random_pixels", without_gil(&semrt::random_pixels), "shape"_a, "coverage"_a, "seed"_a);
    m.def("ede_spiral", without_gil(&semrt::ede_spiral), "shape"_a, "nominal"_a);
    m.def("ede_nominal", &ede_nominal, "shape"_a, "coverage"_a);
    m.def("coil_lag", &coil_lag, "nominal"_a.noconvert(), "dwell_time"_a.noconvert(), "wait"_a.noconvert(),
          "time_constant"_a, "delay"_a, "slew_limit"_a);
    m.def("nearest_order", &nearest_order, "positions"_a.noconvert());
}

}  // namespace semrt::bindings
