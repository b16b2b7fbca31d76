// Thickness in all pixels together: likelihood, and that neighbours are alike but where a layer ends.
//
// A Markov random field of likelihood and truncated-linear smoothness. Besag 1986,
// doi:10.1111/j.2517-6161.1986.tb01412.x; neighbours' labels as proposals: Barnes et al. 2009,
// doi:10.1145/1531326.1531330.
#pragma once

#include "layer_choice.hpp"
#include "layer_likelihood.hpp"
#include "layer_table.hpp"

namespace semrt {

// Minimises chi² / 2, summed over pixels, plus the cost of unlike neighbours, summed over pairs of them (8 each, those
// across a corner with weight sqrt(1/2)).
//
// From coarse to fine: images of half the size know better what is where, and their labels are where the next begins.
// At each scale every pixel takes the best of its own, its neighbours' and its likeliest label, and of those near them
// on the grid; so does every region of one label, as a whole. Pixels that do not touch go together, and so the result
// does not depend on the number of threads. In the end a region leaves the grid where its signals demand it.
// Time: some 10 µs for each pixel. Memory: about 200 bytes for each.
void smooth_layers(LayerTable const &table, View3D<float const> stack, DetectorResponse const &response,
                   Smoothness const &smoothness, LayerMaps const &maps, int n_threads);

}  // namespace semrt
