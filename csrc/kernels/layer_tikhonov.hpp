// Thickness by regularised least squares, as published with the data: the baseline that other solvers are held against.
#pragma once

#include "layer_likelihood.hpp"
#include "layer_table.hpp"

namespace semrt {

// Minimises chi² / 2 + alpha / 2 · sum over pairs of the 4 neighbours of squared differences, each as a share of the
// range that a layer's labels span, times 10.
//
// Gauss-Newton steps from the likeliest label, their equations by conjugate gradients; between labels the table is
// linear, no layer and the thinnest one included. Tikhonov & Arsenin, Solutions of Ill-Posed Problems, 1977.
void tikhonov_layers(LayerTable const &table, View3D<float const> stack, DetectorResponse const &response, double alpha,
                     LayerMaps const &maps, int n_threads);

}  // namespace semrt
