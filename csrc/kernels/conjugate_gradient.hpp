// Conjugate gradients for symmetric positive equations on an image, the same for any number of threads.
//
// Hestenes & Stiefel 1952, doi:10.6028/jres.049.044; preconditioned by the diagonal.
#pragma once

#include "parallel.hpp"
#include "view.hpp"

#include <vector>

namespace semrt {

// Solves matrix * x = right from x = 0.  apply(x, product) multiplies.  diagonal: 0 where x stays 0.
//
// row: how many numbers are summed as one, in this order, whoever sums them.  Ends when the residual is `tolerance` of
// what it was.
template <class Apply>
std::vector<double> conjugate_gradient(Apply const &apply, std::vector<double> const &diagonal,
                                       std::vector<double> const &right, index row, int iterations, double tolerance,
                                       int n_threads) {
    auto const n = static_cast<index>(right.size());
    index const n_rows = (n + row - 1) / row;
    std::vector<double> partial(static_cast<std::size_t>(n_rows));
    auto const each = [&](auto const &work) {
        parallel_for(n_rows, n_threads, [&](index r) {
            for (index i = r * row; i < std::min(n, (r + 1) * row); ++i) work(static_cast<std::size_t>(i));
        });
    };
    auto const dot = [&](std::vector<double> const &a, std::vector<double> const &b) {
        parallel_for(n_rows, n_threads, [&](index r) {
            double sum = 0;
            for (index i = r * row; i < std::min(n, (r + 1) * row); ++i) {
                sum += a[static_cast<std::size_t>(i)] * b[static_cast<std::size_t>(i)];
            }
            partial[static_cast<std::size_t>(r)] = sum;
        });
        double total = 0;
        for (double const sum : partial) total += sum;
        return total;
    };
    auto const size = right.size();
    std::vector<double> x(size, 0.0), residual(size), scaled(size), direction(size), product(size);
    auto const precondition = [&](std::size_t i) { return diagonal[i] > 0 ? residual[i] / diagonal[i] : 0.0; };
    each([&](std::size_t i) {
        residual[i] = diagonal[i] > 0 ? right[i] : 0.0;
        direction[i] = scaled[i] = precondition(i);
    });
    double old = dot(residual, scaled);
    double const enough = tolerance * tolerance * old;
    for (int k = 0; k < iterations && old > enough && old > 0; ++k) {
        apply(direction, product);
        each([&](std::size_t i) {
            if (!(diagonal[i] > 0)) product[i] = 0;
        });
        double const along = dot(direction, product);
        if (!(along > 0)) break;
        double const step = old / along;
        each([&](std::size_t i) {
            x[i] += step * direction[i];
            residual[i] -= step * product[i];
            scaled[i] = precondition(i);
        });
        double const now = dot(residual, scaled);
        each([&](std::size_t i) { direction[i] = scaled[i] + now / old * direction[i]; });
        old = now;
    }
    return x;
}

}  // namespace semrt
