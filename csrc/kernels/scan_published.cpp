#include "scan_path.hpp"
#include "visits.hpp"

#include <cstdlib>

namespace semrt {

namespace {

// The pixels of a line of one pixel's width, without its end: Bresenham's, ties going sideways.
template <class Emit>
void line(index x, index y, index to_x, index to_y, Emit const &emit) {
    index const dx = std::abs(to_x - x), dy = std::abs(to_y - y);
    index const step_x = to_x < x ? -1 : 1, step_y = to_y < y ? -1 : 1;
    bool const flat = dx > dy;
    index const far = flat ? dx : dy, near = flat ? dy : dx;
    index error = 2 * near - far;
    for (index i = 0; i < far; ++i) {
        emit(y, x);
        if (near > 0 && error >= 0) {
            (flat ? y : x) += flat ? step_y : step_x;
            error -= 2 * far;
        }
        error += 2 * near;
        (flat ? x : y) += flat ? step_x : step_y;
    }
}

template <class Emit>
void trace_ede_spiral(Shape shape, double nominal, Emit const &emit) {
    auto const side = static_cast<double>(std::max(shape.ny, shape.nx));
    auto const canvas = static_cast<index>(std::ceil(std::sqrt(2.0) * side));
    double const radius = static_cast<double>(canvas) / 2;
    double const k = 1 / (2 * pi * (1 / nominal));
    double const last = radius / k, turn = last / 10'000;
    index const top = canvas / 2 - shape.ny / 2, left = canvas / 2 - shape.nx / 2;
    auto const in_field = [&](index y, index x) {
        if (y >= top && x >= left && y < top + shape.ny && x < left + shape.nx)
            emit(Position{static_cast<double>(y - top), static_cast<double>(x - left)});
    };
    auto const n = static_cast<index>(std::ceil(last / turn));  // 10,000, or one more by rounding
    index x = canvas / 2, y = canvas / 2;
    for (index i = 0; i < n; ++i) {
        double const theta = static_cast<double>(i) * turn, r = k * theta;
        auto const next_x = static_cast<index>(r * std::cos(theta) + radius);  // truncated, as the drawing library did
        auto const next_y = static_cast<index>(r * std::sin(theta) + radius);
        line(x, y, next_x, next_y, in_field);
        x = next_x;
        y = next_y;
    }
    in_field(y, x);
}

}  // namespace

Path ede_spiral(Shape shape, double nominal) {
    Path path;
    trace_ede_spiral(shape, nominal, [&](Position at) { path.push_back(at); });
    return path;
}

double ede_nominal(Shape shape, double coverage) {
    index const wanted = pixels_wanted(shape, coverage);
    Visits visits(shape);
    auto const missing = [&](double nominal) {
        visits.forget();
        trace_ede_spiral(shape, nominal, [&](Position at) { visits.visit(at); });
        return wanted - visits.count();
    };
    double dense = 1, sparse = 4 / coverage;
    if (missing(dense) > 0) throw std::invalid_argument("coverage: this path cannot visit so many pixels");
    while (sparse - dense > 1e-5 * dense) {
        double const middle = 0.5 * (dense + sparse);
        (missing(middle) <= 0 ? dense : sparse) = middle;
    }
    return std::abs(missing(dense)) <= std::abs(missing(sparse)) ? dense : sparse;
}

}  // namespace semrt
