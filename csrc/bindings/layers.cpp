#include "arrays.hpp"

#include "kernels/layer_field.hpp"
#include "kernels/layer_likelihood.hpp"
#include "kernels/layer_sharpen.hpp"
#include "kernels/layer_tikhonov.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace semrt::bindings {

namespace {

// Arrays for what a solver writes, and what of its arguments fits together.
struct Solver {
    semrt::View3D<float const> stack;
    semrt::View3D<double const> signals;
    semrt::View1D<double const> lower, upper;
    double noise;
    semrt::DetectorResponse response;
    Array<float> thickness, sigma, cost;
    semrt::LayerMaps maps;

    Solver(Array<float> const &intensity, Array<double> const &signals_, Array<double> const &lower_,
           Array<double> const &upper_, double noise_, std::vector<double> gain, double offset)
        : stack(view3(intensity, "intensity")),
          signals(view3(signals_, "signals")),
          lower(view1(lower_, "lower")),
          upper(view1(upper_, "upper")),
          noise(noise_),
          response{std::move(gain), offset},
          thickness(new_array<float>({2, stack.ny, stack.nx})),
          sigma(new_array<float>({2, stack.ny, stack.nx})),
          cost(new_array<float>({stack.ny, stack.nx})),
          maps{out3(thickness), out3(sigma), out2(cost)} {
        require_same_shape(signals.nz == stack.nz && signals.ny == lower.n && signals.nx == upper.n &&
                               static_cast<index>(response.gain.size()) == stack.nz && signals.size() > 0,
                           "intensity, signals, lower, upper, gain");
    }

    semrt::LayerTable table() const { return {signals, lower, upper, noise}; }
    py::tuple result() const { return py::make_tuple(thickness, sigma, cost); }
};

py::tuple likeliest_layers(Array<float> const &intensity, Array<double> const &signals, Array<double> const &lower,
                           Array<double> const &upper, double noise, std::vector<double> gain, double offset,
                           int n_threads) {
    Solver const solver(intensity, signals, lower, upper, noise, std::move(gain), offset);
    {
        py::gil_scoped_release const released;
        semrt::likeliest_layers(solver.table(), solver.stack, solver.response, solver.maps, n_threads);
    }
    return solver.result();
}

py::tuple smooth_layers(Array<float> const &intensity, Array<double> const &signals, Array<double> const &lower,
                        Array<double> const &upper, double noise, std::vector<double> gain, double offset,
                        std::array<float, 2> weight, std::array<float, 2> limit, int n_threads) {
    Solver const solver(intensity, signals, lower, upper, noise, std::move(gain), offset);
    semrt::Smoothness const smoothness{weight[0], weight[1], limit[0], limit[1]};
    {
        py::gil_scoped_release const released;
        semrt::smooth_layers(solver.table(), solver.stack, solver.response, smoothness, solver.maps, n_threads);
    }
    return solver.result();
}

py::tuple tikhonov_layers(Array<float> const &intensity, Array<double> const &signals, Array<double> const &lower,
                          Array<double> const &upper, double noise, std::vector<double> gain, double offset,
                          double alpha, int n_threads) {
    Solver const solver(intensity, signals, lower, upper, noise, std::move(gain), offset);
    {
        py::gil_scoped_release const released;
        semrt::tikhonov_layers(solver.table(), solver.stack, solver.response, alpha, solver.maps, n_threads);
    }
    return solver.result();
}

py::tuple sharpen_layers(Array<std::int32_t> const &entry, Array<float> const &signals, Array<float> const &thickness,
                         index n_common, Array<float> const &intensity, Array<float> const &deviation,
                         Array<float> const &taps, std::array<float, 2> weight, std::array<float, 2> limit, int rounds,
                         bool doubted, int n_threads) {
    auto const start = view2(entry, "entry");
    semrt::LayerPalette const palette{view2(signals, "signals"), view2(thickness, "thickness"), n_common};
    semrt::SeenLayers const seen{view3(intensity, "intensity"), view3(deviation, "deviation"), view3(taps, "taps")};
    auto const n = seen.measured.nz;
    require_same_shape(palette.thickness.ny == palette.signals.ny && palette.thickness.nx == 2 &&
                           palette.signals.nx == n && n_common >= 0 && n_common <= palette.signals.ny,
                       "signals, thickness, n_common");
    require_same_shape(start.ny == seen.measured.ny && start.nx == seen.measured.nx && start.size() > 0 &&
                           seen.deviation.nz == n && seen.deviation.ny == start.ny && seen.deviation.nx == start.nx,
                       "entry, intensity, deviation");
    require_same_shape(seen.taps.nz == n && seen.taps.ny == 2 && seen.taps.nx % 2 == 1, "intensity, taps");
    auto const last = palette.signals.ny - 1;
    require_same_shape(
        std::all_of(start.data, start.data + start.size(), [=](std::int32_t one) { return one >= 0 && one <= last; }),
        "entry, signals");
    auto found = new_array<std::int32_t>({start.ny, start.nx});
    auto expected = new_array<float>({n, start.ny, start.nx});
    auto doubt = new_array<float>({2, doubted ? start.ny : 0, start.nx});
    auto alike = new_array<float>({doubted ? start.ny : 0, start.nx});
    semrt::SharpMaps const maps{out2(found), out3(expected), out3(doubt), out2(alike)};
    semrt::Smoothness const smoothness{weight[0], weight[1], limit[0], limit[1]};
    double cost = 0;
    {
        py::gil_scoped_release const released;
        std::copy_n(start.data, start.size(), maps.entry.data);
        cost = semrt::sharpen_layers(palette, seen, smoothness, rounds, maps, n_threads);
    }
    return py::make_tuple(found, expected, doubt, alike, cost);
}

}  // namespace

void bind_layers(py::module_ &m) {
    using namespace py::literals;
    m.def("likeliest_layers", &likeliest_layers, "intensity"_a.noconvert(), "signals"_a.noconvert(),
          "lower"_a.noconvert(), "upper"_a.noconvert(), "noise"_a, "gain"_a, "offset"_a, "n_threads"_a);
    m.def("smooth_layers", &smooth_layers, "intensity"_a.noconvert(), "signals"_a.noconvert(), "lower"_a.noconvert(),
          "upper"_a.noconvert(), "noise"_a, "gain"_a, "offset"_a, "weight"_a, "limit"_a, "n_threads"_a);
    m.def("sharpen_layers", &sharpen_layers, "entry"_a.noconvert(), "signals"_a.noconvert(), "thickness"_a.noconvert(),
          "n_common"_a, "intensity"_a.noconvert(), "deviation"_a.noconvert(), "taps"_a.noconvert(), "weight"_a,
          "limit"_a, "rounds"_a, "doubted"_a, "n_threads"_a);
    m.def("tikhonov_layers", &tikhonov_layers, "intensity"_a.noconvert(), "signals"_a.noconvert(),
          "lower"_a.noconvert(), "upper"_a.noconvert(), "noise"_a, "gain"_a, "offset"_a, "alpha"_a, "n_threads"_a);
}

}  // namespace semrt::bindings
