// Places in the plane, for finding those near to a given one.
#pragma once

#include "view.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace semrt {

class SpatialHash {
  public:
    // Square cells over the field (ny, nx), one look at nine of them for anything within `distance` [px]; places
    // outside the field belong to its nearest cell.
    SpatialHash(index ny, index nx, double distance)
        : side_(std::max(distance, 4.0)),
          n_by_(static_cast<index>(static_cast<double>(ny) / side_) + 1),
          n_bx_(static_cast<index>(static_cast<double>(nx) / side_) + 1),
          last_(static_cast<std::size_t>(n_by_ * n_bx_), none) {}

    // Places are numbered in the order in which they are added.
    void add(double y, double x) {
        auto &last = last_[static_cast<std::size_t>(row(y) * n_bx_ + column(x))];
        places_.push_back({y, x, last});
        last = static_cast<std::int32_t>(places_.size()) - 1;
    }

    // Calls use(number, dy, dx) for each place nearer to (y, x) than `distance`, in an order that depends on the places
    // alone; dy, dx lead from (y, x) to it.
    template <class Use>
    void for_each_near(double y, double x, double distance, Use const &use) const {
        for (index by = row(y - distance); by <= row(y + distance); ++by) {
            for (index bx = column(x - distance); bx <= column(x + distance); ++bx) {
                for (auto i = last_[static_cast<std::size_t>(by * n_bx_ + bx)]; i != none;) {
                    auto const &place = places_[static_cast<std::size_t>(i)];
                    double const dy = place.y - y, dx = place.x - x;
                    if (dy * dy + dx * dx < distance * distance) use(static_cast<index>(i), dy, dx);
                    i = place.before;
                }
            }
        }
    }

    bool any_near(double y, double x, double distance) const {
        bool found = false;
        for_each_near(y, x, distance, [&](index, double, double) { found = true; });
        return found;
    }

  private:
    static constexpr std::int32_t none = -1;
    struct Place {
        double y, x;
        std::int32_t before;  // in the same cell
    };

    index row(double y) const { return std::clamp<index>(static_cast<index>(y / side_), 0, n_by_ - 1); }
    index column(double x) const { return std::clamp<index>(static_cast<index>(x / side_), 0, n_bx_ - 1); }

    double side_;
    index n_by_, n_bx_;
    std::vector<std::int32_t> last_;  // of each cell
    std::vector<Place> places_;
};

}  // namespace semrt
