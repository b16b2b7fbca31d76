#include "column_normal.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace semrt {

namespace {

constexpr auto lanes = static_cast<std::size_t>(WindowSums::lanes);
using Lanes = std::array<float, lanes>;

constexpr std::size_t pair_of(std::size_t i, std::size_t j) {
    return i < j ? j * (j + 1) / 2 + i : i * (i + 1) / 2 + j;
}

// A function is a sum of terms, each a function of y times one of x. Of either there are, for each part of the profile,
// its Gaussian and the slope of that, and then 1 and the coordinate.
struct Term {
    std::size_t function, of_y, of_x;
};

constexpr std::array<Term, 6> terms_of_one{
    {{shift_y, 1, 0}, {shift_x, 0, 1}, {height, 0, 0}, {plane, 2, 2}, {slope_y, 3, 2}, {slope_x, 2, 3}}};
constexpr std::array<Term, 9> terms_of_two{{{shift_y, 1, 0},
                                            {shift_y, 3, 2},
                                            {shift_x, 0, 1},
                                            {shift_x, 2, 3},
                                            {height, 0, 0},
                                            {height, 2, 2},
                                            {plane, 4, 4},
                                            {slope_y, 5, 4},
                                            {slope_x, 4, 5}}};
constexpr std::array<Term, 9> tested_terms_of_one{{{shift_y, 1, 0},
                                                   {shift_x, 0, 1},
                                                   {height, 0, 0},
                                                   {plane, 4, 4},
                                                   {slope_y, 5, 4},
                                                   {slope_x, 4, 5},
                                                   {n_unknowns + shift_y, 3, 2},
                                                   {n_unknowns + shift_x, 2, 3},
                                                   {n_unknowns + height, 2, 2}}};
constexpr std::array<Term, 12> tested_terms_of_two{{{shift_y, 1, 0},
                                                    {shift_y, 3, 2},
                                                    {shift_x, 0, 1},
                                                    {shift_x, 2, 3},
                                                    {height, 0, 0},
                                                    {height, 2, 2},
                                                    {plane, 6, 6},
                                                    {slope_y, 7, 6},
                                                    {slope_x, 6, 7},
                                                    {n_unknowns + shift_y, 5, 4},
                                                    {n_unknowns + shift_x, 4, 5},
                                                    {n_unknowns + height, 4, 4}}};

// sums[q] += factors[q] * values for every q. Written out for each q: compilers then take the lanes together.
template <std::size_t... q>
void add_all(float const *factors, Lanes const &values, Lanes *sums, std::index_sequence<q...> /*all*/) {
    auto const add = [&](float factor, Lanes &sum) {
        for (std::size_t lane = 0; lane < lanes; ++lane) sum[lane] += factor * values[lane];
    };
    (add(factors[q], sums[q]), ...);
}

// n: a multiple of `lanes`.
double dot(float const *a, float const *b, index n) {
    Lanes sums{};
    for (index i = 0; i < n; i += WindowSums::lanes) {
        for (std::size_t lane = 0; lane < lanes; ++lane) sums[lane] += a[lane] * b[lane];
        a += lanes, b += lanes;
    }
    return static_cast<double>(((sums[0] + sums[1]) + (sums[2] + sums[3])) +
                               ((sums[4] + sums[5]) + (sums[6] + sums[7])));
}

}  // namespace

NormalEquations WindowSums::assemble(View2D<float const> residual, View2D<float const> weight, Column const &column,
                                     ColumnProfile const &profile, double half_width) {
    Part const core{profile.sigma(0), profile.share(0)}, tail{profile.sigma(1), profile.share(1)};
    if (profile.parts() == 1) {
        return sum<1, n_unknowns>(residual, weight, column, {core}, terms_of_one, half_width);
    }
    return sum<2, n_unknowns>(residual, weight, column, {core, tail}, terms_of_two, half_width);
}

TestedEquations WindowSums::assemble_tested(View2D<float const> residual, View2D<float const> weight,
                                            Column const &column, ColumnProfile const &profile, double test_width,
                                            double half_width) {
    Part const core{profile.sigma(0), profile.share(0)}, tail{profile.sigma(1), profile.share(1)}, test{test_width, 1};
    if (profile.parts() == 1) {
        return sum<2, n_unknowns + 3>(residual, weight, column, {core, test}, tested_terms_of_one, half_width);
    }
    return sum<3, n_unknowns + 3>(residual, weight, column, {core, tail, test}, tested_terms_of_two, half_width);
}

// Writes the functions of one coordinate at the pixels of a span, (families, stride); lengths in widths of the first.
template <std::size_t n_parts>
void WindowSums::tabulate(Span span, double centre, std::array<Part, n_parts> const &parts, bool with_share,
                          float *values, index stride) {
    double const width = parts.front().sigma;
    float *const ones = values + 2 * static_cast<index>(n_parts) * stride, *const places = ones + stride;
    auto const unit = static_cast<float>(1 / width);
    auto const start = static_cast<float>(static_cast<double>(span.first) - centre) * unit;
    for (index i = 0; i < span.size(); ++i) {
        ones[i] = 1;
        places[i] = start + unit * static_cast<float>(i);
    }
    for (auto const &part : parts) {
        float *const slope = values + stride;
        gaussian_along(span, centre, part.sigma, with_share ? part.share : 1.0, values);
        auto const inverse = static_cast<float>((width / part.sigma) * (width / part.sigma));
        for (index i = 0; i < span.size(); ++i) slope[i] = inverse * places[i] * values[i];
        values += 2 * stride;
    }
}

// Products of functions are sums of functions of y times functions of x: the weights are summed along y with all of the
// former first, which leaves a line for each, and only those lines along x with the latter.
template <std::size_t n_parts, std::size_t n, class Terms>
Sums<n> WindowSums::sum(View2D<float const> residual, View2D<float const> weight, Column const &column,
                        std::array<Part, n_parts> const &parts, Terms const &terms, double half_width) {
    constexpr std::size_t families = 2 * n_parts + 2, pairs = families * (families + 1) / 2, n_sums = pairs + families;
    Span const rows(column.y, half_width, residual.ny), columns(column.x, half_width, residual.nx);
    Sums<n> result{};
    if (rows.size() == 0 || columns.size() == 0) return result;
    index const n_rows = rows.size(),
                width = (columns.size() + WindowSums::lanes - 1) / WindowSums::lanes * WindowSums::lanes;
    auto const size = [](std::size_t count, index stride) { return count * static_cast<std::size_t>(stride); };
    of_x_.assign(size(families, width), 0.0F);
    tabulate(columns, column.x, parts, false, of_x_.data(), width);
    sums_.resize(size(families, n_rows));
    tabulate(rows, column.y, parts, true, sums_.data(), n_rows);
    of_y_.resize(size(families, n_rows));
    for (index y = 0; y < n_rows; ++y) {  // those of one row side by side
        for (std::size_t i = 0; i < families; ++i) {
            of_y_[size(families, y) + i] = sums_[size(i, n_rows) + static_cast<std::size_t>(y)];
        }
    }
    products_of_y_.resize(size(pairs, n_rows));
    products_of_x_.resize(size(pairs, width));
    for (std::size_t i = 0; i < families; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            float const *const a = of_x_.data() + size(i, width), *const b = of_x_.data() + size(j, width);
            float *const product = products_of_x_.data() + size(pair_of(i, j), width);
            for (index x = 0; x < width; ++x) product[x] = a[x] * b[x];
            for (index y = 0; y < n_rows; ++y) {
                float const *const of_row = of_y_.data() + size(families, y);
                products_of_y_[size(pairs, y) + pair_of(i, j)] = of_row[i] * of_row[j];
            }
        }
    }

    sums_.resize(size(n_sums, width));
    for (index x = 0; x < width; x += WindowSums::lanes) {
        std::array<Lanes, n_sums> sums{};
        for (index y = 0; y < n_rows; ++y) {
            float const *const w = weight.row(rows.first + y) + columns.first + x;
            float const *const r = residual.row(rows.first + y) + columns.first + x;
            Lanes weights, weighted;
            for (std::size_t lane = 0; lane < lanes; ++lane) weights[lane] = w[lane];
            for (std::size_t lane = 0; lane < lanes; ++lane) weighted[lane] = w[lane] * r[lane];
            add_all(products_of_y_.data() + size(pairs, y), weights, sums.data(), std::make_index_sequence<pairs>{});
            add_all(of_y_.data() + size(families, y), weighted, sums.data() + pairs,
                    std::make_index_sequence<families>{});
        }
        for (std::size_t q = 0; q < n_sums; ++q) {
            std::copy(sums[q].begin(), sums[q].end(), sums_.data() + size(q, width) + x);
        }
    }

    auto const line = [&](std::vector<float> const &lines, std::size_t q) { return lines.data() + size(q, width); };
    for (auto const &a : terms) {
        for (auto const &b : terms) {
            if (b.function > a.function) continue;
            result.at(a.function, b.function) +=
                dot(line(sums_, pair_of(a.of_y, b.of_y)), line(products_of_x_, pair_of(a.of_x, b.of_x)), width);
        }
        result.right[a.function] += dot(line(sums_, pairs + a.of_y), line(of_x_, a.of_x), width);
    }
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < i; ++j) result.at(j, i) = result.at(i, j);
    }
    return result;
}

}  // namespace semrt
