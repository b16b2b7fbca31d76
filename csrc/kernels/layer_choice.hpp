// The best label for a pixel, or for some that share one, when all others keep theirs.
#pragma once

#include "layer_search.hpp"
#include "layer_table.hpp"

namespace semrt {

// Cost of neighbours that differ: weight · min(|difference|, limit) for each layer.
struct Smoothness {
    float lower_weight, upper_weight;  // of each nm
    float lower_limit, upper_limit;    // [nm]
};

struct AdjacentLabel {
    Label label;
    float weight;  // of what separates it, in sides of a pixel
};

// What shares a label.
struct Node {
    Features const &features;  // mean of its pixels
    float count;               // measured pixels
    Nearness const &likeliest;
    Label label;
    View1D<AdjacentLabel const> neighbours;
};

// The label of least count · distance² / 2 + the cost of neighbours, of those proposed by the node itself, its
// neighbours and its likeliest label, layer by layer, and of those near them on the grid.
Label best_label(LayerTable const &table, Smoothness const &smoothness, Node const &node);

}  // namespace semrt
