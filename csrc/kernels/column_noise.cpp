#include "column_noise.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace semrt {

namespace {

constexpr index most_samples = 40000;
constexpr index n_bins = 24;

struct Sample {
    float model, difference;
};

// Pixels far from one another and in no step with the rows, with their differences from those beside, scaled to the
// variance of a pixel.
std::vector<Sample> samples_of(View2D<float const> image, View2D<float const> residual, index lag) {
    constexpr float scale = 0.81649658F;  // sqrt(2/3)
    index const stride = image.size() / most_samples | 1;
    std::vector<Sample> samples;
    for (index i = 0; i < image.size(); i += stride) {
        index const x = i % image.nx;
        if (x < lag || x >= image.nx - lag) continue;
        float const *const r = residual.data + i;
        samples.push_back({image.data[i] - r[0], scale * (r[0] - 0.5F * (r[-lag] + r[lag]))});
    }
    std::sort(samples.begin(), samples.end(), [](Sample const &a, Sample const &b) {
        return a.model != b.model ? a.model < b.model : a.difference < b.difference;
    });
    return samples;
}

struct Bin {
    double model, variance, count;
};

// Mean model and variance about zero of some samples, without those beyond 3.5 deviations.
Bin bin_of(Sample const *first, Sample const *last) {
    constexpr double limit = 3.5 * 3.5;
    std::vector<float> sizes;
    for (auto const *s = first; s < last; ++s) sizes.push_back(std::abs(s->difference));
    auto const middle = sizes.begin() + static_cast<index>(sizes.size()) / 2;
    std::nth_element(sizes.begin(), middle, sizes.end());
    double variance = std::pow(static_cast<double>(*middle) / 0.6745, 2);
    Bin bin{0, 0, 0};
    for (int round = 0; round < 4; ++round) {
        bin = {0, 0, 0};
        for (auto const *s = first; s < last; ++s) {
            double const square = static_cast<double>(s->difference) * static_cast<double>(s->difference);
            if (square > limit * variance) continue;
            bin.model += static_cast<double>(s->model);
            bin.variance += square;
            bin.count += 1;
        }
        bin.model /= bin.count;
        bin.variance /= bin.count;
        variance = std::max(0.25 * variance, bin.variance);
    }
    return bin;
}

struct Estimate {
    CountNoise noise;
    double mean;  // variance
};

Estimate estimate(View2D<float const> image, View2D<float const> residual, index lag) {
    auto const samples = samples_of(image, residual, lag);
    auto const n = static_cast<index>(samples.size()), per_bin = std::max<index>(n / n_bins, 32);
    if (n == 0) return {{0, 1, 0}, 1};
    std::vector<Bin> bins;
    for (index first = 0; first < n;) {
        index const last = first + 2 * per_bin > n ? n : first + per_bin;
        bins.push_back(bin_of(samples.data() + first, samples.data() + last));
        first = last;
    }
    // A model that leaves nothing still needs a variance: that of rounding in single precision.
    auto const largest = static_cast<double>(std::max(std::abs(samples.front().model), std::abs(samples.back().model)));
    double const rounding = std::max(std::pow(1e-6 * largest, 2), 1e-20);
    double total = 0, count = 0;
    for (auto const &bin : bins) total += bin.variance * bin.count, count += bin.count;
    double const mean = std::max(total / count, rounding), lowest = 0.1 * mean;
    CountNoise noise{0, mean, bins.front().model};
    for (int round = 0; round < 3; ++round) {  // the scatter of a variance grows with it
        double s = 0, sm = 0, sv = 0, smm = 0, smv = 0;
        for (auto const &bin : bins) {
            double const expected = std::max(noise.gain * bin.model + noise.floor, lowest);
            double const weight = bin.count / (expected * expected);
            s += weight, sm += weight * bin.model, sv += weight * bin.variance;
            smm += weight * bin.model * bin.model, smv += weight * bin.model * bin.variance;
        }
        double const spread = smm * s - sm * sm;
        noise.gain = spread > 1e-12 * smm * s ? std::max(0.0, (smv * s - sm * sv) / spread) : 0.0;
        noise.floor = (sv - noise.gain * sm) / s;
    }
    if (noise.gain > 0) {
        noise.least = std::max(noise.least, (lowest - noise.floor) / noise.gain);
    } else {
        noise.floor = std::max(noise.floor, lowest);
    }
    return {noise, mean};
}

}  // namespace

CountNoise estimate_noise(View2D<float const> image, View2D<float const> residual, index grain) {
    constexpr double blurred = 1.4;
    auto const near = estimate(image, residual, 1), far = estimate(image, residual, grain);
    return far.mean > blurred * near.mean ? far.noise : near.noise;
}

double misfit(View2D<float const> residual, View2D<float const> weight) {
    index const stride = residual.size() / most_samples | 1;
    double sum = 0, count = 0;
    for (index i = 0; i < residual.size(); i += stride) {
        auto const r = static_cast<double>(residual.data[i]), w = static_cast<double>(weight.data[i]);
        sum += std::min(r * r * w, 50.0);
        count += 1;
    }
    return sum / count;
}

}  // namespace semrt
