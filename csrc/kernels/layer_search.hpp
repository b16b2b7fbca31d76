// The nearest label to a pixel's features, exactly, without looking at most of them.
#pragma once

#include "layer_table.hpp"

#include <vector>

namespace semrt {

struct Nearness {
    Label label;
    float squared_distance;
};

// Labels in blocks of neighbours, each with a centre and a radius: a block further than the best is left out.
class LabelSearch {
  public:
    explicit LabelSearch(LayerTable const &table);

    // The nearest label, of several the first.  Cost: a look at every block, and at the labels of a few.
    Nearness nearest(Features const &features) const;
    // The nearest of those with this label of the lower layer.
    Nearness nearest_with(index lower, Features const &features) const;

  private:
    static constexpr std::size_t lanes = 16;
    using Lanes = std::array<float, lanes>;
    using LaneFeatures = std::array<Lanes, n_features>;

    static void distances(Features const &features, LaneFeatures const &points, Lanes &squared);

    void look_at(std::size_t number, Features const &features, Nearness &best) const;

    struct Block {
        index lower, first;  // the labels (lower, first), (lower, first + 1) …; the last one fills what is left
    };

    index n_upper_;
    std::vector<Block> blocks_;
    std::vector<LaneFeatures> labels_;   // of each block
    std::vector<LaneFeatures> centres_;  // of each 16 blocks
    std::vector<float> radius_;
};

}  // namespace semrt
