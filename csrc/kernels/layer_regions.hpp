// Pixels that touch and share a label, which may change it together where none would alone.
#pragma once

#include "layer_choice.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace semrt {

struct Region {
    std::array<double, n_features> sum{};  // of the features of its pixels
    double count = 0;                      // of measured pixels
    Label label{0, 0};

    Features mean() const;
};

// What the pixels of an image are at some scale: features, and of how many measured pixels they are the mean.
struct Scale {
    FeatureImage image;
    std::vector<float> count;
    float side;  // of a pixel, in measured ones
};

struct Regions {
    std::vector<std::int32_t> of_pixel;  // the number of its region
    std::vector<Region> regions;
};

// Pixels of one label joined by their sides, in the order of their first pixels.
Regions connected_regions(Scale const &scale, std::vector<Label> const &labels);

// Gives every connected region in turn the best label, small regions first.
//
// labels: (ny * nx), written.  Cost: some passes over the image, and a search for each region.
void settle_regions(LayerTable const &table, LabelSearch const &search, Scale const &scale,
                    Smoothness const &smoothness, std::vector<Label> &labels);

}  // namespace semrt
