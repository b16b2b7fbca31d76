#include "column_fitter.hpp"

#include "column_noise.hpp"
#include "column_rows.hpp"
#include "column_search.hpp"
#include "column_shape.hpp"
#include "spatial_hash.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

namespace semrt {

namespace {

constexpr double medium_blur = 1.2, fine_blur = 0.4;  // of a background that a coarse one does not follow [spacings]
constexpr double fair_fit = 1.15;                     // misfit from which on tails may be something else
constexpr double poor_fit = 1.5;                      // misfit that calls for a finer background
constexpr double least_tail = 0.02;
constexpr double coloured = 1.3;  // excess that calls for narrower tests
constexpr double narrow = 0.8;    // their width, in widths of the columns

constexpr std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    auto const middle = values.begin() + static_cast<index>(values.size()) / 2;
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

}  // namespace

void ColumnFitter::settle(bool with_shape) {
    constexpr int most_searches = 5;
    constexpr std::size_t many = 50;  // added columns are, from one in so many on
    bool const with_width = with_shape && options_.width <= 0, with_tail = with_shape && options_.tail < 0;
    std::size_t added = 0;
    for (int round = 0, searches = 0; round < (with_shape ? 4 : 2) || (added > 0 && searches < most_searches);
         ++round) {
        if (round > 1 && !with_shape && many * added < members_.size()) {
            for (int k = 0; k < 2; ++k) sweep(Sweep::stirred);
        } else {
            // Near the border there is light from outside, which is not known at first.
            add_background(sweep(Sweep::learn).planes, false);
        }
        if (round == 1 || (round > 0 && with_shape)) reweigh();
        if (with_width || with_tail) {
            profile_ = improved_shape(field_, members_, profile_, with_width, with_tail && round > 0, n_threads_);
            redraw();
        }
        if (round == 1 || (added > 0 && searches < most_searches)) {
            ++searches;
            added = search();
        }
    }
    // Speckle, or a background not followed yet, looks like tails.
    if (with_tail && (profile_.tail < least_tail || misfit(field_.residual(), field_.weight()) > fair_fit)) {
        profile_.tail = 0;
        redraw();
        for (int round = 0; with_width && round < 2; ++round) {
            sweep(Sweep::all);
            profile_ = improved_shape(field_, members_, profile_, true, false, n_threads_);
            redraw();
        }
    }
    set_leashes(members_, image_.ny, image_.nx, spacing_, profile_.width);
}

// Adds columns that the residual shows: outside the field always, since their light reaches in; inside if asked for.
std::size_t ColumnFitter::search() {
    double const width = profile_.width;
    auto const look = options_.find_missing ? &search_residual : &search_border;
    auto const seen = look(field_.residual(), field_.weight(), width, 2.5 * width, options_.threshold, n_threads_);
    SpatialHash places(image_.ny, image_.nx, 2 * width);
    for (auto const &member : members_) places.add(member.column.y, member.column.x);
    auto const is_new = [&](Sighting const &sighting) {  // not what a neighbour's shape leaves
        return !places.any_near(sighting.y, sighting.x, 1.6 * width);
    };
    // Columns stand out above what there is below zero, but for the few worst places in it.
    std::vector<double> below;
    for (auto const &sighting : seen) {
        if (sighting.height < 0 && is_new(sighting)) below.push_back(-sighting.significance);
    }
    std::sort(below.rbegin(), below.rend());
    double const least = below.empty() ? 0.0 : below[below.size() / 500];
    double const reach = 2 * profile_.reach();
    SpatialHash stirring(image_.ny, image_.nx, reach);
    std::size_t added = 0;
    for (auto const &sighting : seen) {
        bool const outside = inside_by(image_, sighting.y, sighting.x) < (options_.find_missing ? -0.5 : width);
        if (sighting.significance <= least || !(outside || options_.find_missing) || !is_new(sighting)) continue;
        places.add(sighting.y, sighting.x);
        stirring.add(sighting.y, sighting.x);
        double const leash = std::min(0.5 * spacing_, std::max(2.0, 1.5 * width));
        members_.push_back({{sighting.y, sighting.x, sighting.height}, sighting.y, sighting.x, leash, -1, !outside});
        ++added;
    }
    if (added > 0) {
        for (auto &member : members_) member.stirred = stirring.any_near(member.column.y, member.column.x, reach);
        sort_by_place(members_);
        redraw();
    }
    return added;
}

void ColumnFitter::settle_background() {
    bool fine = false;
    for (double const blur : {medium_blur, fine_blur}) {
        if (misfit(field_.residual(), field_.weight()) < poor_fit) break;
        if (!fine) {  // places between columns show the background best
            for (auto const &gap : gaps(members_, image_.ny, image_.nx, 0.4 * spacing_, 2 * profile_.width)) {
                if (inside_by(image_, gap.y, gap.x) > 0.5 * spacing_) gaps_.push_back(gap);
            }
        }
        fine = true;
        field_.set_blur(blur * spacing_);
        redraw();
        for (int round = 0; round < (blur == fine_blur ? 6 : 2); ++round)
            add_background(sweep(Sweep::learn).planes, true);
        reweigh();
    }
    std::vector<double> offset, slope, own_offset, own_slope, sigma;
    WindowSums sums;
    constexpr std::size_t most = 2000;  // columns tell how the background varies
    std::size_t const stride = members_.size() / most + 1;
    for (std::size_t i = 0; i < members_.size(); i += stride) {
        auto const &column = members_[i].column;
        auto const equations = sums.assemble(field_.residual(), field_.weight(), column, profile_, core());
        auto const own = variances(equations, {});
        Unknowns free{};
        if (!members_[i].reported || !std::isfinite(own[plane]) || !solve(equations, {}, free)) continue;
        offset.push_back(free[plane] * free[plane]), own_offset.push_back(own[plane]);
        for (auto const u : {slope_y, slope_x}) slope.push_back(free[u] * free[u]), own_slope.push_back(own[u]);
        sigma.push_back(profile_.width / column.height * std::sqrt(0.5 * (own[shift_y] + own[shift_x])));
    }
    typical_sigma_ = median(sigma);
    if (fine || offset.empty()) return;  // it follows the columns' own planes already: they stay free
    // What planes vary by beyond their noise, they may; a background without structure is best left as it is.
    auto const bound = [](std::vector<double> const &squares, std::vector<double> const &own) {
        constexpr double least = 0.01, median_of_square = 0.455;
        double const largest = 9 * median(squares) / median_of_square;
        double sum = 0, expected = 0;
        for (std::size_t i = 0; i < squares.size(); ++i) sum += std::min(squares[i], largest), expected += own[i];
        return static_cast<double>(squares.size()) / std::max(sum - expected, least * expected);
    };
    prior_[plane] = bound(offset, own_offset);
    prior_[slope_y] = prior_[slope_x] = bound(slope, own_slope);
}

void ColumnFitter::settle_rows() {
    constexpr int rounds = 2;
    auto const recorded = image_;
    for (int round = 0; round < rounds; ++round) {
        sweep(Sweep::all);
        auto const columns = columns_of(members_);
        auto shifts =
            find_row_shifts(image_, field_.residual(), field_.weight(), columns, profile_.width, rows_, n_threads_);
        if (!shifts.any()) return;
        rows_ = std::move(shifts);
        std::vector<float> straight(at(image_.size()));
        undo_row_shifts(rows_, recorded, image_, field_.residual(), {straight.data(), image_.ny, image_.nx},
                        n_threads_);
        straight_ = std::move(straight);
        image_ = {straight_.data(), image_.ny, image_.nx};
        field_.set_image(image_);
        redraw();
        reweigh();
    }
}

// Leaves out columns that came to lie on others, and found ones that came to nothing. False if there are none.
bool ColumnFitter::prune() {
    double const width = profile_.width;
    SpatialHash places(image_.ny, image_.nx, width);
    for (auto const &member : members_) places.add(member.column.y, member.column.x);
    std::vector<Member> kept;
    WindowSums sums;
    for (std::size_t i = 0; i < members_.size(); ++i) {
        auto const &member = members_[i];
        bool doubled = false;
        places.for_each_near(member.column.y, member.column.x, 0.8 * width, [&](index other, double, double) {
            auto const &rival = members_[at(other)];
            auto const rank = [](Member const &m) { return std::make_tuple(m.source < 0, -m.column.height, m.source); };
            if (at(other) != i && rank(rival) < rank(member)) doubled = true;
        });
        bool lost = false;
        if (member.source < 0 && member.reported) {
            auto const equations = sums.assemble(field_.residual(), field_.weight(), member.column, profile_, core());
            double const deviation = std::sqrt(variances(equations, prior_)[height]);
            lost = member.held || !(member.column.height > 0.7 * options_.threshold * deviation);
        }
        if (!doubled && !lost) kept.push_back(member);
    }
    if (kept.size() == members_.size() || kept.empty()) return false;
    members_ = std::move(kept);
    set_leashes(members_, image_.ny, image_.nx, spacing_, profile_.width);
    redraw();
    return true;
}

void ColumnFitter::finish() {
    // The rest has the grain of columns: a carbon film does.
    if (excess().shift > coloured) test_width_ = narrow * profile_.width;
    constexpr int most_sweeps = 8, most_prunings = 4;
    constexpr double still = 0.03;  // standard deviations of a position
    for (int pruning = 0; pruning <= most_prunings; ++pruning) {
        for (int k = 0; k < most_sweeps; ++k) {
            double const moved = sweep(Sweep::all).typical;
            if (k == 0) reweigh();
            if (moved < still * typical_sigma_) break;
        }
        if (!prune()) break;
    }
}

}  // namespace semrt
