// The visited pixels of a scan as points in buckets, for finding those nearest to a place.
#pragma once

#include "view.hpp"

#include <cstdint>
#include <vector>

namespace semrt {

struct Sample {
    std::int32_t y, x;
};

struct Neighbour {
    std::int32_t sample;  // index into SampleGrid::samples()
    float distance2;      // squared distance [px^2]
};

class SampleGrid {
  public:
    // Buckets of about two samples each, were the samples spread evenly over the field (ny, nx).
    SampleGrid(std::vector<Sample> samples, index ny, index nx);

    std::vector<Sample> const &samples() const { return samples_; }

    // Writes the k samples nearest to (y, x) into found, nearest first; ties go to the lower index.
    // Fewer where there are fewer. O(k) where samples are even, O(n) at worst.
    void nearest(float y, float x, index k, std::vector<Neighbour> &found) const;

  private:
    void collect(index by, index bx, float y, float x, std::vector<Neighbour> &found) const;

    std::vector<Sample> samples_;
    std::vector<std::int32_t> order_;  // samples sorted by bucket
    std::vector<std::int32_t> first_;  // first_[b] .. first_[b + 1]: the part of order_ that lies in bucket b
    index n_by_, n_bx_;
    float side_;
};

// The visited pixels in scan-line order.
std::vector<Sample> visited_samples(View2D<bool const> visited);

// The sample nearest to the centre of each cell x cell square that holds any: the same field at the grain of `cell`.
std::vector<Sample> thinned(std::vector<Sample> const &samples, index ny, index nx, float cell);

}  // namespace semrt
