// The one file that knows Python: check, view, release the GIL, call.
//
// Arguments are refused (.noconvert()) rather than converted: semrt/kernels.py converts, once.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "kernels/blend.hpp"
#include "kernels/coil_lag.hpp"
#include "kernels/fill.hpp"
#include "kernels/hough.hpp"
#include "kernels/kriging.hpp"
#include "kernels/rasterise.hpp"
#include "kernels/scan_order.hpp"
#include "kernels/scan_path.hpp"
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

semrt::View1D<semrt::Position const> positions_view(Array<double> const &positions) {
    if (positions.ndim() != 2 || positions.shape(1) != 2) wrong_dimension("positions", "(n, 2)", positions.ndim());
    return {reinterpret_cast<semrt::Position const *>(positions.data()), positions.shape(0)};
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

// ---------------------------------------------------------------------------------------------------- rasterise

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

void bind_rasterise(py::module_ &m) {
    using namespace py::literals;
    m.def("rasterise", &rasterise, "positions"_a.noconvert(), "shape"_a, "dwell_time"_a.noconvert(),
          "intensities"_a.noconvert(), "split"_a, "sigma"_a, "n_threads"_a);
    m.def("record", &record, "image"_a.noconvert(), "positions"_a.noconvert(), "split"_a, "sigma"_a, "n_threads"_a);
}

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
        if (wanted)
            std::fill_n(estimates.data, estimates.size(), 0.0F), std::fill_n(variances.data, variances.size(), 0.0F);
        semrt::krige(values, mask, exposures, targets, {variogram[0], variogram[1], variogram[2], variogram[3]},
                     estimates, variances, n_threads);
    }
    return py::make_tuple(estimate, variance);
}

void bind_kriging(py::module_ &m) {
    using namespace py::literals;
    m.def("fit_variogram", &fit_variogram, "intensity"_a.noconvert(), "visited"_a.noconvert(), "seed"_a);
    m.def("krige", &krige, "intensity"_a.noconvert(), "visited"_a.noconvert(), "exposure"_a.noconvert(),
          "wanted"_a.noconvert(), "variogram"_a, "n_threads"_a);
}

// -------------------------------------------------------------------------------------------------------- hough

Array<double> find_circles(Array<float> const &probability, double r_min, double r_max, double min_distance,
                           double threshold, int n_threads) {
    auto const view = view2(probability, "probability");
    std::vector<semrt::Circle> found;
    {
        py::gil_scoped_release const released;
        found = semrt::find_circles(view, {r_min, r_max, min_distance, threshold}, n_threads);
    }
    static_assert(sizeof(semrt::Circle) == 4 * sizeof(double), "circles are rows of four doubles");
    auto circles = new_array<double>({static_cast<py::ssize_t>(found.size()), 4});
    if (!found.empty()) std::copy_n(&found.front().y, circles.size(), circles.mutable_data());
    return circles;
}

void bind_hough(py::module_ &m) {
    m.def("find_circles", &find_circles, py::arg("probability").noconvert(), py::arg("r_min"), py::arg("r_max"),
          py::arg("min_distance"), py::arg("threshold"), py::arg("n_threads"));
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
    bind_hough(m);
    bind_blend(m);
}
