// What one atomic column looks like: a Gaussian with a share of a wider one, separable into functions of y and of x.
#pragma once

#include "view.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace semrt {

// Height 1 at r = 0.  (1 - tail) exp(-r^2 / 2 width^2) + tail exp(-r^2 / 8 width^2): with a tail of 0.2 it meets half a
// Lorentzian to 0.005.
struct ColumnProfile {
    static constexpr double tail_width = 2;  // in widths

    double width;     // [px]
    double tail = 0;  // share of the height

    int parts() const { return tail > 0 ? 2 : 1; }
    double sigma(int part) const { return part == 0 ? width : tail_width * width; }
    double share(int part) const { return part == 0 ? 1 - tail : tail; }
    // Half-widths [px]: beyond `reach` it is left out, within `core` it is fitted.
    double reach() const { return tail > 0 ? 6.2 * width : 4 * width; }
    double core() const { return 3 * width; }
};

// The pixels [first, last] of one axis of n that lie within half_width of `at`; none if first > last.
struct Span {
    index first, last;

    Span(double at, double half_width, index n)
        : first(std::max<index>(static_cast<index>(std::ceil(std::max(at - half_width, -1.0))), 0)),
          last(std::min(static_cast<index>(std::floor(std::min(at + half_width, static_cast<double>(n)))), n - 1)) {}
    index size() const { return std::max<index>(last - first + 1, 0); }
};

// exp(-t^2 / 2 sigma^2) at the pixels of a span, by recurrence: no exponential for each pixel.
inline void gaussian_along(Span span, double centre, double sigma, double height, float *values) {
    double const inverse = 1 / (sigma * sigma), t = static_cast<double>(span.first) - centre;
    double value = height * std::exp(-0.5 * t * t * inverse), ratio = std::exp(-(t + 0.5) * inverse);
    double const bend = std::exp(-inverse);
    for (index i = 0; i < span.size(); ++i) {
        values[i] = static_cast<float>(value);
        value *= ratio;
        ratio *= bend;
    }
}

}  // namespace semrt
