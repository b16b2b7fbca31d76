// The shape that all columns share.
#pragma once

#include "column_field.hpp"
#include "column_members.hpp"

namespace semrt {

// One Gauss-Newton step of width and tail: what belongs to single columns, and a plane about each, is eliminated.
//
// Takes part: up to 256 of the brighter columns, those away from the border if there are enough of them.
ColumnProfile improved_shape(ColumnField const &field, std::vector<Member> const &members, ColumnProfile const &profile,
                             bool with_width, bool with_tail, int n_threads);

}  // namespace semrt
