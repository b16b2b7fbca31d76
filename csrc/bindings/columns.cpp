#include "arrays.hpp"

#include "kernels/column_fit.hpp"
#include "kernels/hough.hpp"

#include <algorithm>
#include <type_traits>

namespace semrt::bindings {

namespace {

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

py::dict refine_columns(Array<float> const &image, Array<double> const &positions, double width, double tail,
                        double gain, double read_noise, double offset, bool straighten, bool find_missing,
                        double threshold, int n_threads) {
    auto const image_view = view2(image, "image");
    auto const starts = view2(positions, "positions");
    if (starts.nx != 2) throw py::value_error("positions: expected shape (n, 2)");
    semrt::ColumnFit fit;
    {
        py::gil_scoped_release const released;
        fit =
            semrt::fit_columns(image_view, starts,
                               {width, tail, gain, read_noise, offset, straighten, find_missing, threshold}, n_threads);
    }
    auto const n = static_cast<py::ssize_t>(fit.columns.size());
    auto const column = [&](auto semrt::FittedColumn::*member) {
        using T = std::decay_t<decltype(fit.columns.front().*member)>;
        auto values = new_array<T>({n});
        std::transform(fit.columns.begin(), fit.columns.end(), values.mutable_data(),
                       [=](semrt::FittedColumn const &one) { return one.*member; });
        return values;
    };
    using Column = semrt::FittedColumn;
    using namespace py::literals;
    return py::dict("y"_a = column(&Column::y), "x"_a = column(&Column::x), "sigma_y"_a = column(&Column::sigma_y),
                    "sigma_x"_a = column(&Column::sigma_x), "intensity"_a = column(&Column::intensity),
                    "intensity_sigma"_a = column(&Column::intensity_sigma),
                    "background"_a = column(&Column::background), "chi2"_a = column(&Column::chi2),
                    "source"_a = column(&Column::source), "converged"_a = column(&Column::converged),
                    "width"_a = fit.profile.width, "tail"_a = fit.profile.tail, "gain"_a = fit.noise.gain,
                    "variance_floor"_a = fit.noise.floor,
                    "row_jitter"_a = py::make_tuple(fit.row_jitter_y, fit.row_jitter_x));
}

}  // namespace

void bind_columns(py::module_ &m) {
    using namespace py::literals;
    m.def("find_circles", &find_circles, "probability"_a.noconvert(), "r_min"_a, "r_max"_a, "min_distance"_a,
          "threshold"_a, "n_threads"_a);
    m.def("refine_columns", &refine_columns, "image"_a.noconvert(), "positions"_a.noconvert(), "width"_a, "tail"_a,
          "gain"_a, "read_noise"_a, "offset"_a, "straighten"_a, "find_missing"_a, "threshold"_a, "n_threads"_a);
}

}  // namespace semrt::bindings
