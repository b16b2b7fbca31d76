#include "arrays.hpp"

#include "kernels/layer_field.hpp"
#include "kernels/layer_likelihood.hpp"
#include "kernels/layer_tikhonov.hpp"

#include <array>
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

}  // namespace

void bind_layers(py::module_ &m) {
    using namespace py::literals;
    m.def("likeliest_layers", &likeliest_layers, "intensity"_a.noconvert(), "signals"_a.noconvert(),
          "lower"_a.noconvert(), "upper"_a.noconvert(), "noise"_a, "gain"_a, "offset"_a, "n_threads"_a);
    m.def("smooth_layers", &smooth_layers, "intensity"_a.noconvert(), "signals"_a.noconvert(), "lower"_a.noconvert(),
          "upper"_a.noconvert(), "noise"_a, "gain"_a, "offset"_a, "weight"_a, "limit"_a, "n_threads"_a);
    m.def("tikhonov_layers", &tikhonov_layers, "intensity"_a.noconvert(), "signals"_a.noconvert(),
          "lower"_a.noconvert(), "upper"_a.noconvert(), "noise"_a, "gain"_a, "offset"_a, "alpha"_a, "n_threads"_a);
}

}  // namespace semrt::bindings
