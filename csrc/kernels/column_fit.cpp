#include "column_fit.hpp"

#include "column_fitter.hpp"
#include "nearest.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace semrt {

namespace {

constexpr double shape_sample = 600;  // columns that are enough to know the shape by

constexpr std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

}  // namespace

Excess ColumnFitter::excess() const {
    constexpr std::size_t most = 1500;
    std::vector<Column> all, some;
    for (auto const &gap : gaps(members_, image_.ny, image_.nx, std::max(0.45 * spacing_, 2.0), 1.8 * profile_.width)) {
        if (inside_by(image_, gap.y, gap.x) > spacing_) all.push_back({gap.y, gap.x, 1});
    }
    std::size_t const stride = all.size() / most + 1;
    for (std::size_t i = 0; i < all.size(); i += stride) some.push_back(all[i]);
    return excess_between(field_, some, prior_, profile_, test_width_, n_threads_);
}

ColumnFit ColumnFitter::result() const {
    std::size_t const n = members_.size();
    double const width = profile_.width;
    auto const columns = columns_of(members_);
    std::vector<NormalEquations> equations(n);
    std::vector<Unknowns> tested(test_width_ > 0 ? n : 0);  // variances
    std::vector<double> chi2(n);
    parallel_for(chunks(static_cast<index>(n), 64), n_threads_, [&](index chunk) {
        WindowSums sums;
        for (auto i = at(chunk * 64); i < std::min(at((chunk + 1) * 64), n); ++i) {
            equations[i] = sums.assemble(field_.residual(), field_.weight(), columns[i], profile_, core());
            Unknowns unused{};
            if (test_width_ > 0 && !solve_tested(sums.assemble_tested(field_.residual(), field_.weight(), columns[i],
                                                                      profile_, test_width_, core()),
                                                 prior_, unused, tested[i])) {
                tested[i].fill(std::numeric_limits<double>::infinity());
            }
            Span const rows(columns[i].y, 2 * width, image_.ny), along(columns[i].x, 2 * width, image_.nx);
            float sum = 0;
            for (index y = rows.first; y <= rows.last; ++y) {
                float const *const r = field_.residual().row(y), *const w = field_.weight().row(y);
                for (index x = along.first; x <= along.last; ++x) sum += r[x] * r[x] * w[x];
            }
            chi2[i] = static_cast<double>(sum) / static_cast<double>(std::max<index>(1, rows.size() * along.size()));
        }
    });
    auto found = precisions(field_, columns, equations, prior_, profile_, n_threads_);
    for (std::size_t i = 0; i < n; ++i) {
        if (test_width_ > 0) found[i] = {tested[i][shift_y], tested[i][shift_x], tested[i][height]};
    }

    auto const beyond = excess();
    ColumnFit fit{{}, profile_, noise_, std::sqrt(rows_.y.variance), std::sqrt(rows_.x.variance)};
    for (std::size_t i = 0; i < n; ++i) {
        auto const &member = members_[i];
        if (!member.reported) continue;
        auto const &column = member.column;
        double const unit = std::pow(width / column.height, 2) * beyond.shift;
        double const sigma_y = std::sqrt(unit * found[i].shift_y + rows_.y.kept);
        double const sigma_x = std::sqrt(unit * found[i].shift_x + rows_.x.kept);
        double const sigma_height = std::sqrt(beyond.height * found[i].height);
        bool const known = column.height > 3 * sigma_height && sigma_y < member.leash && sigma_x < member.leash;
        fit.columns.push_back({column.y, column.x, sigma_y, sigma_x, column.height, sigma_height,
                               field_.background(column.y, column.x), chi2[i], member.source, known && !member.held});
    }
    return fit;
}

namespace {

// The shape is everybody's: the brightest part of a large image with enough columns tells it as well as the whole.
ColumnShape shape_of_part(View2D<float const> image, std::vector<Member> const &members, double spacing,
                          ColumnShape const &first, ColumnFitOptions options, int n_threads) {
    double const area = static_cast<double>(image.size()) / static_cast<double>(members.size());
    auto const height = std::min(static_cast<index>(std::sqrt(area * shape_sample)), image.ny);
    auto const width = std::min(static_cast<index>(area * shape_sample / static_cast<double>(height)), image.nx);
    index const n_y = image.ny / height, n_x = image.nx / width;
    std::vector<double> light(at(n_y * n_x), 0);
    auto const part_of = [&](Member const &member) {
        auto const y = std::min(static_cast<index>(std::max(member.column.y, 0.0)) / height, n_y - 1);
        auto const x = std::min(static_cast<index>(std::max(member.column.x, 0.0)) / width, n_x - 1);
        return at(y * n_x + x);
    };
    std::size_t const stride = members.size() / 2000 + 1;
    for (std::size_t i = 0; i < members.size(); i += stride) {
        auto const &member = members[i];
        auto const y = static_cast<index>(member.column.y + 0.5), x = static_cast<index>(member.column.x + 0.5);
        double const dark = dark_level(image, member.column.y, member.column.x, 0.8 * spacing);
        light[part_of(member)] += std::pow(std::max(0.0, static_cast<double>(image(y, x)) - dark), 2);
    }
    auto const best = static_cast<std::size_t>(std::max_element(light.begin(), light.end()) - light.begin());
    index const y0 = static_cast<index>(best) / n_x * height, x0 = static_cast<index>(best) % n_x * width;
    std::vector<float> part;
    for (index y = y0; y < y0 + height; ++y) part.insert(part.end(), image.row(y) + x0, image.row(y) + x0 + width);
    std::vector<Member> inside;
    for (auto member : members) {
        member.start_y = member.column.y -= static_cast<double>(y0);
        member.start_x = member.column.x -= static_cast<double>(x0);
        bool const in_y = member.column.y >= -0.5 && member.column.y < static_cast<double>(height) - 0.5;
        bool const in_x = member.column.x >= -0.5 && member.column.x < static_cast<double>(width) - 0.5;
        if (in_y && in_x) inside.push_back(member);
    }
    options.find_missing = true;  // nothing of them is kept but that they do not disturb
    ColumnFitter fitter({part.data(), height, width}, std::move(inside), spacing, first, options, n_threads);
    fitter.settle(true);
    return fitter.shape();
}

}  // namespace

ColumnFit fit_columns(View2D<float const> image, View2D<double const> positions, ColumnFitOptions const &options,
                      int n_threads) {
    constexpr double coincident = 1;  // [px]
    auto members = members_at(positions, image.ny, image.nx, coincident);
    if (members.empty()) return {{}, {options.width, std::max(0.0, options.tail)}, {0, 0, 0}, 0, 0};
    double const spacing = spacing_of(members, image.ny, image.nx);
    bool const shape_is_given = options.width > 0 && options.tail >= 0;
    ColumnShape shape{
        {options.width > 0 ? options.width : first_width(image, members, spacing), std::max(0.0, options.tail)},
        {0, 1, 0},
        false};
    bool const by_part = !shape_is_given && static_cast<double>(members.size()) > 2 * shape_sample;
    if (by_part) shape = shape_of_part(image, members, spacing, shape, options, n_threads);
    ColumnFitter fitter(image, std::move(members), spacing, shape, options, n_threads);
    fitter.settle(!shape_is_given && !by_part);
    fitter.settle_background();
    if (options.straighten) fitter.settle_rows();
    fitter.finish();
    return fitter.result();
}

}  // namespace semrt
