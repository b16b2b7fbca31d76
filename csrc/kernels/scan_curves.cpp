#include "scan_path.hpp"
#include "visits.hpp"

namespace semrt {

namespace {

// Not std::hypot, whose last bit depends on the platform.
double length(double y, double x) {
    return std::sqrt(y * y + x * x);
}

double farthest_corner(Shape shape, Position centre) {
    double const bottom = static_cast<double>(shape.ny) - 0.5, right = static_cast<double>(shape.nx) - 0.5;
    return length(std::max(centre.y + 0.5, bottom - centre.y), std::max(centre.x + 0.5, right - centre.x));
}

Position polar(Position centre, double r, double theta) {
    return {rounded(centre.y + r * std::sin(theta)), rounded(centre.x + r * std::cos(theta))};
}

void refuse_endless(double samples) {
    if (!(samples < 4e8)) throw std::invalid_argument("shape: the field is too large or too elongated for this spiral");
}

}  // namespace

Path spiral(Shape shape, double coverage, Spiral kind, Position centre, double angle, double angle_step,
            bool keep_outside) {
    double const radius = farthest_corner(shape, centre);
    auto const fermat = [&](double spacing, auto const &emit) {
        double const n = std::ceil((radius / spacing) * (radius / spacing));
        refuse_endless(n);
        for (double i = 0; i <= n; ++i) {
            if (!emit(polar(centre, spacing * std::sqrt(i), angle + i * angle_step))) return;
        }
    };
    auto const archimedean = [&](double pitch, auto const &emit) {
        double const k = pitch / (2 * pi), turn = step / length(radius, k);  // r = k·θ
        double const n = std::ceil(radius / (k * turn));
        refuse_endless(n);
        for (double i = 0; i <= n; ++i) {
            if (!emit(polar(centre, k * (i * turn), angle + i * turn))) return;
        }
    };
    auto const clv = [&](double pitch, auto const &emit) {
        double const k = pitch / (2 * pi), last = radius / k;
        refuse_endless(0.5 * radius * last / step);
        for (double theta = 0; theta <= last;) {
            if (!emit(polar(centre, k * theta, angle + theta))) return;
            double const middle = theta + 0.5 * step / (k * std::sqrt(1 + theta * theta));
            theta += step / (k * std::sqrt(1 + middle * middle));  // midpoint rule for an arc of one step
        }
    };
    index const wanted = pixels_wanted(shape, coverage);
    switch (kind) {
        case Spiral::fermat:
            return fitted_path(shape, wanted, 1 / std::sqrt(pi * coverage), fermat, keep_outside);
        case Spiral::archimedean:
            return fitted_path(shape, wanted, 1 / coverage, archimedean, keep_outside);
        case Spiral::clv:
            break;
    }
    return fitted_path(shape, wanted, 1 / coverage, clv, keep_outside);
}

Path lissajous(Shape shape, double coverage, double ratio, double phase) {
    double const middle_y = 0.5 * static_cast<double>(shape.ny - 1), middle_x = 0.5 * static_cast<double>(shape.nx - 1);
    // From pixel border to pixel border, but for a rounding: the outermost pixels are visited as those inside.
    double const reach_y = middle_y + 0.499, reach_x = middle_x + 0.499;
    double const turn = step / length(ratio * reach_y, reach_x);
    index const wanted = pixels_wanted(shape, coverage);
    auto const longest = 64 * static_cast<double>(shape.size()) + 1e4;
    Visits visits(shape);
    Path path = path_until(visits, wanted, [&](auto const &emit) {
        for (double i = 0; i < longest; ++i) {
            double const y = middle_y + reach_y * std::sin(ratio * turn * i + phase);
            double const x = middle_x + reach_x * std::sin(turn * i);
            if (!emit(Position{rounded(y), rounded(x)})) return;
        }
    });
    if (visits.count() < wanted) throw std::invalid_argument("coverage: this path cannot visit so many pixels");
    return path;
}

}  // namespace semrt
