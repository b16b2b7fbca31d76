#include "column_normal.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace semrt {

namespace {

constexpr double rounding = 1e-6;  // of sums in single precision

// The lower triangle L of matrix + prior = L L^T.
bool factorise(NormalEquations const &equations, Unknowns const &prior, NormalEquations &lower) {
    Unknowns inverse{};
    for (std::size_t i = 0; i < n_unknowns; ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            double sum = equations.at(i, j);
            for (std::size_t k = 0; k < j; ++k) sum -= lower.at(i, k) * lower.at(j, k);
            lower.at(i, j) = sum * inverse[j];
        }
        double const whole = equations.at(i, i) + prior[i];
        double left = whole;
        for (std::size_t k = 0; k < i; ++k) left -= lower.at(i, k) * lower.at(i, k);
        if (!(left > rounding * whole)) return false;
        lower.at(i, i) = std::sqrt(left);
        inverse[i] = 1 / lower.at(i, i);
    }
    return true;
}

using Square = std::array<Unknowns, n_unknowns>;

// Gauss and Jordan, with the largest element of a column as pivot.
bool invert(Square matrix, Square &inverse) {
    inverse = {};
    for (std::size_t i = 0; i < n_unknowns; ++i) inverse[i][i] = 1;
    for (std::size_t k = 0; k < n_unknowns; ++k) {
        std::size_t pivot = k;
        double largest = 0, scale = 0;
        for (std::size_t i = 0; i < n_unknowns; ++i) {
            scale = std::max(scale, std::abs(matrix[i][k]));
            if (i >= k && std::abs(matrix[i][k]) > largest) largest = std::abs(matrix[i][k]), pivot = i;
        }
        if (!(largest > rounding * scale)) return false;
        std::swap(matrix[k], matrix[pivot]);
        std::swap(inverse[k], inverse[pivot]);
        double const over = 1 / matrix[k][k];
        for (std::size_t j = 0; j < n_unknowns; ++j) matrix[k][j] *= over, inverse[k][j] *= over;
        for (std::size_t i = 0; i < n_unknowns; ++i) {
            double const factor = matrix[i][k];
            if (i == k || factor == 0) continue;
            for (std::size_t j = 0; j < n_unknowns; ++j) {
                matrix[i][j] -= factor * matrix[k][j];
                inverse[i][j] -= factor * inverse[k][j];
            }
        }
    }
    return true;
}

}  // namespace

bool solve(NormalEquations const &equations, Unknowns const &prior, Unknowns &solution) {
    NormalEquations lower;
    if (!factorise(equations, prior, lower)) return false;
    for (std::size_t i = 0; i < n_unknowns; ++i) {
        double sum = equations.right[i];
        for (std::size_t k = 0; k < i; ++k) sum -= lower.at(i, k) * solution[k];
        solution[i] = sum / lower.at(i, i);
    }
    for (std::size_t i = n_unknowns; i-- > 0;) {
        for (std::size_t k = i + 1; k < n_unknowns; ++k) solution[i] -= lower.at(k, i) * solution[k];
        solution[i] /= lower.at(i, i);
    }
    return true;
}

Unknowns variances(NormalEquations const &equations, Unknowns const &prior) {
    Unknowns result;
    result.fill(std::numeric_limits<double>::infinity());
    NormalEquations lower;
    if (!factorise(equations, prior, lower)) return result;
    for (std::size_t j = 0; j < n_unknowns; ++j) {
        Unknowns column{};
        result[j] = 0;
        for (std::size_t i = j; i < n_unknowns; ++i) {
            double sum = i == j ? 1.0 : 0.0;
            for (std::size_t k = j; k < i; ++k) sum -= lower.at(i, k) * column[k];
            column[i] = sum / lower.at(i, i);
            result[j] += column[i] * column[i];
        }
    }
    return result;
}

// The residual is multiplied by the test functions in place of the derivatives; the plane remains its own test.
bool solve_tested(TestedEquations const &equations, Unknowns const &prior, Unknowns &solution, Unknowns &variance) {
    constexpr std::array<std::size_t, n_unknowns> test{
        n_unknowns + shift_y, n_unknowns + shift_x, n_unknowns + height, plane, slope_y, slope_x};
    Square matrix, inverse;
    for (std::size_t i = 0; i < n_unknowns; ++i) {
        for (std::size_t j = 0; j < n_unknowns; ++j) {
            matrix[i][j] = equations.at(test[i], j) + (i == j && test[i] == i ? prior[i] : 0);
        }
    }
    if (!invert(matrix, inverse)) return false;
    for (std::size_t i = 0; i < n_unknowns; ++i) {
        solution[i] = variance[i] = 0;
        for (std::size_t j = 0; j < n_unknowns; ++j) {
            solution[i] += inverse[i][j] * equations.right[test[j]];
            double spread = test[j] == j ? inverse[i][j] * prior[j] : 0;
            for (std::size_t k = 0; k < n_unknowns; ++k) spread += inverse[i][k] * equations.at(test[k], test[j]);
            variance[i] += spread * inverse[i][j];
        }
    }
    return true;
}

}  // namespace semrt
