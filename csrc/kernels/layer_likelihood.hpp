// The likeliest thicknesses of two layers in each pixel by itself.
#pragma once

#include "layer_table.hpp"

namespace semrt {

// What a solver writes.
struct LayerMaps {
    View3D<float> thickness, sigma;  // (2, ny, nx), lower and upper [nm]
    View2D<float> cost;              // (ny, nx), chi² per degree of freedom
};

// The label whose signals are likeliest, then the likeliest thicknesses within half a step of the grid from it.
//
// No layer at all is a label of its own and never mixed with thin ones. Cost per pixel: a projection on 8 components,
// and a look at some 5 to 10 % of the labels.
void likeliest_layers(LayerTable const &table, View3D<float const> stack, DetectorResponse const &response,
                      LayerMaps const &maps, int n_threads);

// chi² per degree of freedom of a pixel, two of which are the thicknesses.
float mean_square(LayerTable const &table, float squared_distance, float outside);

}  // namespace semrt
