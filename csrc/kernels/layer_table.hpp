// Model signals of layered samples on a grid of thicknesses, as points in which a unit is a standard deviation of
// noise.
//
// Noise in proportion to the signal is the same everywhere in the logarithm, so that likelihood is a distance there;
// and since two thicknesses are all that varies, few principal components of the logarithms hold those distances.
#pragma once

#include "view.hpp"

#include <array>
#include <cstddef>
#include <vector>

namespace semrt {

constexpr std::size_t n_features = 8;  // principal components: what they miss of backscatter signals is 0.001 of noise

using Features = std::array<float, n_features>;

inline float squared_distance(Features const &a, Features const &b) {
    std::array<float, 4> sums{};  // four sums side by side, which compilers take together
    for (std::size_t k = 0; k < n_features; k += 4) {
        for (std::size_t lane = 0; lane < 4; ++lane) {
            float const difference = a[k + lane] - b[k + lane];
            sums[lane] += difference * difference;
        }
    }
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// A pair of thicknesses on the grid; the lower one may be none (0 nm), which is a branch of its own.
struct Label {
    index lower, upper;
};

inline bool operator==(Label a, Label b) {
    return a.lower == b.lower && a.upper == b.upper;
}

// What a detector did to every signal of an energy: measured = gain * signal + offset.
struct DetectorResponse {
    std::vector<double> gain;  // one for each energy
    double offset = 0;
};

// The pixels of an image as features, and what of each spectrum is in none of them.
struct FeatureImage {
    index ny = 0, nx = 0;
    std::vector<Features> features;  // ny * nx
    std::vector<float> outside;      // ny * nx, squared and in units of noise
};

class LayerTable {
  public:
    // signals: (n, n_lower, n_upper), above 0.  lower, upper: thicknesses [nm], rising.  noise: relative, above 0.
    LayerTable(View3D<double const> signals, View1D<double const> lower, View1D<double const> upper, double noise);

    index n_energies() const { return static_cast<index>(mean_.size()); }
    index n_lower() const { return static_cast<index>(lower_.size()); }
    index n_upper() const { return static_cast<index>(upper_.size()); }
    float lower(index i) const { return lower_[static_cast<std::size_t>(i)]; }
    float upper(index j) const { return upper_[static_cast<std::size_t>(j)]; }
    // The first label of the lower layer from which on it varies continuously.
    index first_present() const { return lower(0) == 0 && n_lower() > 1 ? 1 : 0; }

    Features const &at(Label label) const {
        return features_[static_cast<std::size_t>(label.lower * n_upper() + label.upper)];
    }

    // The features of an image's pixels.  stack: (n, ny, nx).
    FeatureImage project(View3D<float const> stack, DetectorResponse const &response, int n_threads) const;

  private:
    double noise_;
    std::vector<float> lower_, upper_;
    std::vector<double> mean_, floor_;                   // of the logarithms; the smallest signal believed
    std::array<std::vector<double>, n_features> basis_;  // orthonormal
    std::vector<Features> features_;
};

}  // namespace semrt
