// The table near a label as a function of thickness, and what a pixel's features say of it there.
#pragma once

#include "layer_table.hpp"

namespace semrt {

// Features at thicknesses near a label: at + slope * step + curvature * step² / 2 in each direction, steps in nm.
struct LocalModel {
    Features at;
    Features lower_slope, upper_slope, lower_curvature, upper_curvature;
    // Half a step of the grid, at its borders none beyond them.
    float lower_min, lower_max, upper_min, upper_max;

    Features operator()(float lower_step, float upper_step) const;
};

// The lower layer does not vary where there is none; its slope is then that of the thinnest there is.
LocalModel local_model(LayerTable const &table, Label label);

struct Refined {
    float lower, upper;  // [nm]
    float lower_sigma, upper_sigma;
    float squared_distance;
};

// The likeliest thicknesses within half a step of a label, with standard deviations from the Fisher matrix.
Refined refine(LayerTable const &table, Label label, Features const &features);

}  // namespace semrt
