#include "column_fitter.hpp"

#include "column_noise.hpp"
#include "nearest.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace semrt {

namespace {

constexpr double coarse_blur = 3;  // of the background at first [spacings]

constexpr std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

}  // namespace

ColumnFitter::ColumnFitter(View2D<float const> image, std::vector<Member> members, double spacing,
                           ColumnShape const &shape, ColumnFitOptions const &options, int n_threads)
    : image_(image),
      options_(options),
      n_threads_(n_threads),
      spacing_(spacing),
      profile_(shape.profile),
      noise_(shape.noise),
      members_(std::move(members)),
      field_(image_, coarse_blur * spacing) {
    start();
    if (shape.is_known) field_.weigh(noise_, n_threads_);
}

// Heights above a background that is as high as the darker pixels around.
void ColumnFitter::start() {
    set_leashes(members_, image_.ny, image_.nx, spacing_, profile_.width);
    gaps_ = gaps(members_, image_.ny, image_.nx, spacing_, spacing_);
    std::vector<Plane> dark;
    for (auto const &member : members_) dark.push_back({member.column.y, member.column.x, 0, 0, 0});
    dark.insert(dark.end(), gaps_.begin(), gaps_.end());
    parallel_for(static_cast<index>(dark.size()), n_threads_,
                 [&](index i) { dark[at(i)].b0 = dark_level(image_, dark[at(i)].y, dark[at(i)].x, 0.8 * spacing_); });
    field_.add_background(dark, n_threads_);
    set_heights(field_, members_);
    redraw();
}

// One step of every column on what all others leave.
ColumnFitter::Swept ColumnFitter::sweep(Sweep kind) {
    std::size_t const n = members_.size();
    double const width = profile_.width;
    bool const learn = kind == Sweep::learn;
    Swept swept;
    if (learn) swept.planes.resize(n + gaps_.size());
    std::vector<double> moved(n, 0);
    auto const as_plane = [&](double y, double x, Unknowns const &u) {
        return Plane{y, x, u[plane], u[slope_y] / width, u[slope_x] / width};
    };
    Bands bands(image_.ny, profile_.reach() + width);
    for (std::size_t i = 0; i < n; ++i) {
        if (kind != Sweep::stirred || members_[i].stirred) bands.add(members_[i].column.y, i);
    }
    bands.for_each(n_threads_, [&](std::vector<std::size_t> const &in_band) {
        WindowSums sums;
        for (auto const i : in_band) {
            Member &member = members_[i];
            Column const before = member.column;
            bool const tested = test_width_ > 0 && member.reported;
            Unknowns by{};
            if (tested) {
                auto const equations =
                    sums.assemble_tested(field_.residual(), field_.weight(), before, profile_, test_width_, core());
                Unknowns unused{};
                if (!solve_tested(equations, prior_, by, unused)) continue;
            } else {
                auto equations = sums.assemble(field_.residual(), field_.weight(), before, profile_, core());
                if (learn) swept.planes[i] = as_plane(before.y, before.x, solve(equations, {}, by) ? by : Unknowns{});
                if (!solve(equations, bound(member, equations), by)) continue;
            }
            move(member, by);
            moved[i] = std::hypot(member.column.y - before.y, member.column.x - before.x);
            field_.replace(before, member.column, profile_);
        }
    });
    if (learn) {
        parallel_for(chunks(static_cast<index>(gaps_.size()), 64), n_threads_, [&](index chunk) {
            WindowSums sums;
            for (auto i = at(chunk * 64); i < std::min(at((chunk + 1) * 64), gaps_.size()); ++i) {
                Column const nowhere{gaps_[i].y, gaps_[i].x, 1};
                auto const equations = sums.assemble(field_.residual(), field_.weight(), nowhere, profile_, core());
                Unknowns by{}, no_column{};
                no_column[shift_y] = no_column[shift_x] = no_column[height] = 1e9 * equations.at(plane, plane);
                swept.planes[n + i] = as_plane(nowhere.y, nowhere.x, solve(equations, no_column, by) ? by : Unknowns{});
            }
        });
    }
    if (!moved.empty()) {
        auto const middle = moved.begin() + static_cast<index>(n) / 2;
        std::nth_element(moved.begin(), middle, moved.end());
        swept.typical = *middle;
    }
    return swept;
}

// The prior of a column's unknowns. Where a column outside the field stands hardly shows: it keeps to where it was
// seen, within half a width.
Unknowns ColumnFitter::bound(Member const &member, NormalEquations &equations) const {
    Unknowns prior = prior_;
    if (member.reported) return prior;
    Column const &column = member.column;
    prior[shift_y] = prior[shift_x] = 1 / std::pow(0.5 * column.height, 2);
    double const unit = column.height / profile_.width;
    equations.right[shift_y] += prior[shift_y] * (member.start_y - column.y) * unit;
    equations.right[shift_x] += prior[shift_x] * (member.start_x - column.x) * unit;
    return prior;
}

void ColumnFitter::move(Member &member, Unknowns const &by) const {
    Column const before = member.column;
    Column &column = member.column;
    column.height = std::max(before.height + by[height], 0.1 * before.height);
    double dy = profile_.width * by[shift_y] / column.height, dx = profile_.width * by[shift_x] / column.height;
    double const far = std::hypot(dy, dx), stride = 0.5 * profile_.width;
    if (far > stride) dy *= stride / far, dx *= stride / far;
    column.y += dy, column.x += dx;
    double const away = std::hypot(column.y - member.start_y, column.x - member.start_x);
    member.held = away > member.leash;
    if (member.held) {
        column.y = member.start_y + (column.y - member.start_y) * member.leash / away;
        column.x = member.start_x + (column.x - member.start_x) * member.leash / away;
    }
}

void ColumnFitter::add_background(std::vector<Plane> const &planes, bool to_the_border) {
    std::vector<Plane> inner;
    for (auto const &p : planes) {
        if (to_the_border || inside_by(image_, p.y, p.x) >= spacing_) inner.push_back(p);
    }
    field_.add_background(inner.empty() ? planes : inner, n_threads_);
}

void ColumnFitter::reweigh() {
    double const gain = options_.gain, of_reading = options_.read_noise * options_.read_noise;
    auto const grain = std::max<index>(1, static_cast<index>(profile_.width + 0.5));
    constexpr double fewest = 0.25;  // electrons in a pixel: where none are expected, one may still come
    noise_ = gain < 0 ? estimate_noise(image_, field_.residual(), grain)
                      : CountNoise{gain, of_reading - gain * options_.offset, options_.offset + fewest * gain};
    field_.weigh(noise_, n_threads_);
}

}  // namespace semrt
