// Symmetric positive definite matrices that are zero far from the diagonal.
#pragma once

#include "view.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace semrt {

// The lower half of an n by n matrix whose entries (i, j) are 0 for |i - j| > width; then its Cholesky factor.
class BandedMatrix {
  public:
    BandedMatrix(index n, index width) : n_(n), width_(width), entries_(static_cast<std::size_t>(n * (width + 1)), 0) {}

    double &at(index i, index j) { return entries_[static_cast<std::size_t>(i * (width_ + 1) + j - i + width_)]; }
    double at(index i, index j) const { return entries_[static_cast<std::size_t>(i * (width_ + 1) + j - i + width_)]; }

    // Replaces the matrix A by L, A = L L^T. False if A is not positive definite. Costs n width^2.
    bool factorise() {
        for (index i = 0; i < n_; ++i) {
            for (index j = std::max<index>(0, i - width_); j <= i; ++j) {
                double sum = at(i, j);
                for (index k = std::max<index>(0, i - width_); k < j; ++k) sum -= at(i, k) * at(j, k);
                if (j < i) {
                    at(i, j) = sum / at(j, j);
                } else {
                    if (!(sum > 0)) return false;
                    at(i, i) = std::sqrt(sum);
                }
            }
        }
        return true;
    }

    // After factorise(): x becomes L^-1 x, and L^-T x.
    void solve_lower(std::vector<double> &x) const {
        for (index i = 0; i < n_; ++i) {
            double sum = x[static_cast<std::size_t>(i)];
            for (index k = std::max<index>(0, i - width_); k < i; ++k) sum -= at(i, k) * x[static_cast<std::size_t>(k)];
            x[static_cast<std::size_t>(i)] = sum / at(i, i);
        }
    }
    void solve_upper(std::vector<double> &x) const {
        for (index i = n_ - 1; i >= 0; --i) {
            double const value = x[static_cast<std::size_t>(i)] /= at(i, i);
            for (index k = std::max<index>(0, i - width_); k < i; ++k)
                x[static_cast<std::size_t>(k)] -= at(i, k) * value;
        }
    }

  private:
    index n_, width_;
    std::vector<double> entries_;
};

}  // namespace semrt
