// Counting the pixels that a path visits, and fitting a path to the count asked for.
#pragma once

#include "scan_path.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

namespace semrt {

constexpr double pi = 3.141592653589793238462643383279502884;

// From sample to sample of a curved path [px]: below 1 by more than the rounding, so that no pixel is skipped.
constexpr double step = 0.99;

inline double rounded(double length) {
    return std::floor(length * 1024 + 0.5) / 1024;
}

inline index pixels_wanted(Shape shape, double coverage) {
    auto const n = static_cast<index>(std::floor(coverage * static_cast<double>(shape.size()) + 0.5));
    return std::clamp<index>(n, 1, shape.size());
}

// The pixels of a field visited so far.
class Visits {
  public:
    explicit Visits(Shape shape) : shape_(shape), seen_(static_cast<std::size_t>(shape.size())) {}

    // Whether the position is in the field; its pixel then counts.
    bool visit(Position at) {
        double const y = std::floor(at.y + 0.5), x = std::floor(at.x + 0.5);
        if (!(y >= 0 && x >= 0 && y < static_cast<double>(shape_.ny) && x < static_cast<double>(shape_.nx)))
            return false;
        auto &seen = seen_[static_cast<std::size_t>(static_cast<index>(y) * shape_.nx + static_cast<index>(x))];
        count_ += seen == 0;
        seen = 1;
        return true;
    }

    index count() const { return count_; }

    void forget() {
        std::fill(seen_.begin(), seen_.end(), std::uint8_t{0});
        count_ = 0;
    }

  private:
    Shape shape_;
    std::vector<std::uint8_t> seen_;
    index count_ = 0;
};

// A trace is a function that calls emit(Position) for one sample after another until emit returns false or it ends.

// How many pixels a trace visits, but no more than `enough`.
template <class Trace>
index count_pixels(Visits &visits, index enough, Trace const &trace) {
    visits.forget();
    trace([&](Position at) {
        visits.visit(at);
        return visits.count() < enough;
    });
    return visits.count();
}

// The samples of a trace that lie in the field, or all of them, to that which completes the pixels wanted.
template <class Trace>
Path path_until(Visits &visits, index wanted, Trace const &trace, bool keep_outside = false) {
    visits.forget();
    Path path;
    trace([&](Position at) {
        if (visits.visit(at) || keep_outside) path.push_back(at);
        return visits.count() < wanted;
    });
    return path;
}

// The widest pitch for which trace(pitch, emit) still visits the pixels wanted, by bisection.
//
// guess: a pitch near it.  Throws std::invalid_argument if none above guess / 16 does.
template <class Trace>
double widest_pitch(Shape shape, index wanted, double guess, Trace const &trace) {
    Visits visits(shape);
    auto const suffices = [&](double pitch) {
        return count_pixels(visits, wanted, [&](auto const &emit) { trace(pitch, emit); }) == wanted;
    };
    double fine = guess, wide = guess;
    if (suffices(guess)) {
        for (int i = 0; i < 24 && suffices(wide *= 1.25); ++i) fine = wide;
    } else {
        do {
            wide = fine;
            fine *= 0.8;
            if (fine < guess / 16) throw std::invalid_argument("coverage: this path cannot visit so many pixels");
        } while (!suffices(fine));
    }
    while (wide - fine > 1e-3 * fine) {
        double const middle = 0.5 * (fine + wide);
        (suffices(middle) ? fine : wide) = middle;
    }
    return fine;
}

// The path of trace(pitch, emit) at its widest pitch.
template <class Trace>
Path fitted_path(Shape shape, index wanted, double guess, Trace const &trace, bool keep_outside = false) {
    double const pitch = widest_pitch(shape, wanted, guess, trace);
    Visits visits(shape);
    return path_until(visits, wanted, [&](auto const &emit) { trace(pitch, emit); }, keep_outside);
}

}  // namespace semrt
