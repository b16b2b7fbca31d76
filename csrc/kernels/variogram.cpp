#include "variogram.hpp"

#include "samples.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

namespace semrt {

namespace {

constexpr int bins_per_octave = 3;
constexpr int n_bins = 13 * bins_per_octave;  // lags from 1 to 8192 px
constexpr index near_lag = 6;                 // [px] all pairs up to here
constexpr index pairs_per_bin = 3000;
constexpr index max_anchors = 6000;
constexpr index enough_pairs = 20;        // in a bin; where no bin has as many, any number is better than none
constexpr double largest_exponent = 1.9;  // 2 makes covariance matrices singular in practice
constexpr double two_pi = 6.283185307179586;

// splitmix64 (Steele, Lea & Flood 2014): the same numbers on every platform.
class Random {
  public:
    explicit Random(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() {
        std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
        return z ^ (z >> 31);
    }
    double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
    index below(index n) { return static_cast<index>(next() % static_cast<std::uint64_t>(n)); }

  private:
    std::uint64_t state_;
};

struct Lag {
    double distance = 0, semivariance = 0, weight = 0;
    index pairs = 0;
};

class Empirical {
  public:
    void add(double distance, double difference) {
        auto const bin = static_cast<int>(std::log2(distance) * bins_per_octave + 0.5);
        if (bin < 0 || bin >= n_bins) return;
        auto &lag = lags_[static_cast<std::size_t>(bin)];
        lag.distance += distance;
        lag.semivariance += 0.5 * difference * difference;
        ++lag.pairs;
    }
    std::vector<Lag> lags() const {
        auto const filled = filled_by(enough_pairs);
        return filled.empty() ? filled_by(1) : filled;
    }

  private:
    std::vector<Lag> filled_by(index least) const {
        std::vector<Lag> filled;
        for (auto lag : lags_) {
            if (lag.pairs < least) continue;
            lag.distance /= static_cast<double>(lag.pairs);
            lag.semivariance /= static_cast<double>(lag.pairs);
            filled.push_back(lag);
        }
        return filled;
    }

    std::array<Lag, n_bins> lags_{};
};

std::vector<Lag> sample_pairs(View2D<float const> intensity, View2D<bool const> visited, std::uint64_t seed) {
    auto samples = visited_samples(visited);
    auto const n = static_cast<index>(samples.size());
    SampleGrid const grid(samples, visited.ny, visited.nx);
    Random random(seed);
    Empirical empirical;
    auto const value = [&](Sample const &s) { return static_cast<double>(intensity(s.y, s.x)); };

    index const n_anchors = std::min(n, max_anchors);
    for (index a = 0; a < n_anchors; ++a) {
        auto const &s = samples[static_cast<std::size_t>(n <= max_anchors ? a : random.below(n))];
        for (index dy = 0; dy <= near_lag; ++dy) {
            for (index dx = dy == 0 ? 1 : -near_lag; dx <= near_lag; ++dx) {
                index const y = s.y + dy, x = s.x + dx;
                if (y >= visited.ny || x < 0 || x >= visited.nx || !visited(y, x)) continue;
                auto const r = std::sqrt(static_cast<double>(dy * dy + dx * dx));
                empirical.add(r, value(s) - static_cast<double>(intensity(y, x)));
            }
        }
    }
    // Far pairs: from a random sample a random step, log-uniform in length, to the sample nearest its end.
    double const largest = 0.5 * std::hypot(static_cast<double>(visited.ny), static_cast<double>(visited.nx));
    double const octaves = std::log2(std::max(2.0, largest / static_cast<double>(near_lag)));
    auto const n_steps = static_cast<index>(octaves * bins_per_octave * static_cast<double>(pairs_per_bin));
    std::vector<Neighbour> found;
    for (index i = 0; i < n_steps; ++i) {
        auto const &s = samples[static_cast<std::size_t>(random.below(n))];
        double const length = static_cast<double>(near_lag) * std::exp2(octaves * random.uniform());
        double const angle = two_pi * random.uniform();
        double const y = s.y + length * std::sin(angle), x = s.x + length * std::cos(angle);
        if (y < 0 || x < 0 || y > static_cast<double>(visited.ny - 1) || x > static_cast<double>(visited.nx - 1))
            continue;
        grid.nearest(static_cast<float>(y), static_cast<float>(x), 1, found);
        auto const &end = samples[static_cast<std::size_t>(found[0].sample)];
        double const r = std::hypot(end.y - s.y, end.x - s.x);
        if (r > static_cast<double>(near_lag)) empirical.add(r, value(s) - value(end));
    }
    return empirical.lags();
}

struct Fit {
    Variogram variogram;
    double misfit;
};

// The best nugget and sill, both >= 0, for a given shape: weighted least squares in two unknowns.
Fit fit_amplitudes(std::vector<Lag> const &lags, double range, double exponent) {
    double sw = 0, sf = 0, sff = 0, sg = 0, sfg = 0, sgg = 0;
    for (auto const &lag : lags) {
        double const f = 1 - std::exp(-std::pow(lag.distance / range, exponent));
        sw += lag.weight;
        sf += lag.weight * f;
        sff += lag.weight * f * f;
        sg += lag.weight * lag.semivariance;
        sfg += lag.weight * f * lag.semivariance;
        sgg += lag.weight * lag.semivariance * lag.semivariance;
    }
    double const determinant = sw * sff - sf * sf;
    double nugget = determinant > 1e-12 * sw * sff ? (sff * sg - sf * sfg) / determinant : 0;
    double sill = determinant > 1e-12 * sw * sff ? (sw * sfg - sf * sg) / determinant : 0;
    if (nugget < 0 || sill <= 0) {
        // On the border of the allowed quadrant: one unknown is zero.
        double const sill_alone = sff > 0 ? sfg / sff : 0, nugget_alone = sg / sw;
        bool const structure = sill_alone * sfg >= nugget_alone * sg;
        nugget = structure ? 0 : nugget_alone;
        sill = structure ? sill_alone : 0;
    }
    double const misfit =
        sgg - 2 * (nugget * sg + sill * sfg) + nugget * nugget * sw + 2 * nugget * sill * sf + sill * sill * sff;
    return {{nugget, sill, range, exponent}, misfit};
}

// What is known where no two samples are paired, or all that are paired are equal: how much the samples vary.
Variogram without_pairs(View2D<float const> intensity, View2D<bool const> visited) {
    auto const samples = visited_samples(visited);
    auto const n = static_cast<double>(samples.size());
    double sum = 0, squares = 0;  // about the first sample, so that equal ones give nothing at all
    for (auto const &s : samples) {
        double const value = static_cast<double>(intensity(s.y, s.x)) -
                             static_cast<double>(intensity(samples.front().y, samples.front().x));
        sum += value, squares += value * value;
    }
    double const variance = n > 1 ? (squares - sum * sum / n) / (n - 1) : 0;
    if (variance <= 0) return {0, 0, 1, 1};
    double const diagonal = std::hypot(static_cast<double>(visited.ny), static_cast<double>(visited.nx));
    return {0, variance, std::max(1.0, 0.25 * diagonal), 1};
}

}  // namespace

double Variogram::covariance(double r) const {
    return sill * std::exp(-std::pow(r / range, exponent));
}

Variogram fit_variogram(View2D<float const> intensity, View2D<bool const> visited, std::uint64_t seed) {
    auto lags = sample_pairs(intensity, visited, seed);
    double largest = 0, longest = 1;
    for (auto const &lag : lags) {
        largest = std::max(largest, lag.semivariance);
        longest = std::max(longest, lag.distance);
    }
    if (largest <= 0) return without_pairs(intensity, visited);
    // Relative errors count (Cressie): the near lags, small and decisive for the weights, must fit as well as the far
    // ones.
    for (auto &lag : lags) {
        double const scale = std::max(lag.semivariance, 1e-6 * largest);
        lag.weight = std::sqrt(static_cast<double>(lag.pairs)) / (scale * scale);
    }
    Fit best{{0, 0, 1, 1}, std::numeric_limits<double>::infinity()};
    auto const search = [&](double range_from, double range_to, int n_range, double exponent_from, double exponent_to,
                            int n_exponent) {
        for (int e = 0; e < n_exponent; ++e) {
            double const exponent = exponent_from + (exponent_to - exponent_from) * e / (n_exponent - 1);
            for (int i = 0; i < n_range; ++i) {
                double const range =
                    range_from * std::pow(range_to / range_from, static_cast<double>(i) / (n_range - 1));
                auto const fit = fit_amplitudes(lags, range, exponent);
                if (fit.misfit < best.misfit) best = fit;
            }
        }
    };
    search(1, 4 * longest, 40, 0.4, largest_exponent, 16);
    auto const coarse = best.variogram;
    search(coarse.range / 1.2, coarse.range * 1.2, 13, std::max(0.4, coarse.exponent - 0.1),
           std::min(largest_exponent, coarse.exponent + 0.1), 11);
    return best.variogram;
}

}  // namespace semrt
