#include "scan_order.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace semrt {

namespace {

// Positions sorted into square cells that hold about two each.
class Cells {
  public:
    explicit Cells(View1D<Position const> positions) : positions_(positions) {
        Position high = low_ = positions[0];
        for (Position const at : positions) {
            low_ = {std::min(low_.y, at.y), std::min(low_.x, at.x)};
            high = {std::max(high.y, at.y), std::max(high.x, at.x)};
        }
        double const height = high.y - low_.y, width = high.x - low_.x;
        auto const n = static_cast<double>(positions.n);
        side_ = std::max(std::sqrt(2 * height * width / n), 2 * std::max(height, width) / n);
        if (!(side_ > 0)) side_ = 1;  // all at one place
        ny_ = static_cast<index>(height / side_) + 1;
        nx_ = static_cast<index>(width / side_) + 1;
        held_.resize(static_cast<std::size_t>(ny_ * nx_));
        for (index i = 0; i < positions.n; ++i) cell_of(positions[i]).push_back(i);
    }

    void remove(index i) {
        auto &cell = cell_of(positions_[i]);
        cell.erase(std::find(cell.begin(), cell.end(), i));
    }

    // The nearest position held; there must be one.
    index nearest(Position from) const {
        index const y0 = row_of(from), x0 = column_of(from);
        index best = 0;
        double least = std::numeric_limits<double>::infinity();
        for (index ring = 0; ring <= std::max(ny_, nx_); ++ring) {
            double const beyond = static_cast<double>(ring - 1) * side_;  // nothing on this ring is nearer than that
            if (ring > 0 && beyond * beyond > least) break;
            for (index y = std::max<index>(0, y0 - ring); y <= std::min(ny_ - 1, y0 + ring); ++y) {
                bool const edge = y == y0 - ring || y == y0 + ring;
                index const stride = edge || ring == 0 ? 1 : 2 * ring;
                for (index x = x0 - ring; x <= x0 + ring; x += stride) {
                    if (x < 0 || x >= nx_) continue;
                    for (index const i : held_[static_cast<std::size_t>(y * nx_ + x)]) {
                        double const dy = positions_[i].y - from.y, dx = positions_[i].x - from.x;
                        double const squared = dy * dy + dx * dx;
                        if (squared < least || (squared == least && i < best)) {
                            least = squared;
                            best = i;
                        }
                    }
                }
            }
        }
        return best;
    }

  private:
    index row_of(Position at) const { return static_cast<index>((at.y - low_.y) / side_); }
    index column_of(Position at) const { return static_cast<index>((at.x - low_.x) / side_); }
    std::vector<index> &cell_of(Position at) {
        return held_[static_cast<std::size_t>(row_of(at) * nx_ + column_of(at))];
    }

    View1D<Position const> positions_;
    Position low_{};
    double side_ = 1;
    index ny_ = 1, nx_ = 1;
    std::vector<std::vector<index>> held_;
};

}  // namespace

std::vector<index> nearest_order(View1D<Position const> positions) {
    std::vector<index> order;
    if (positions.n == 0) return order;
    order.reserve(static_cast<std::size_t>(positions.n));
    Cells cells(positions);
    index at = 0;
    for (;;) {
        order.push_back(at);
        cells.remove(at);
        if (static_cast<index>(order.size()) == positions.n) return order;
        at = cells.nearest(positions[at]);
    }
}

}  // namespace semrt
