#include "arrays.hpp"

#include "kernels/kriging.hpp"
#include "kernels/variogram.hpp"

#include <algorithm>
#include <array>
#include <optional>

namespace semrt::bindings {

namespace {

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

}  // namespace

void bind_kriging(py::module_ &m) {
    using namespace py::literals;
    m.def("fit_variogram", &fit_variogram, "intensity"_a.noconvert(), "visited"_a.noconvert(), "seed"_a);
    m.def("krige", &krige, "intensity"_a.noconvert(), "visited"_a.noconvert(), "exposure"_a.noconvert(),
          "wanted"_a.noconvert(), "variogram"_a, "n_threads"_a);
}

}  // namespace semrt::bindings
