// The steps of a fit of columns, and what they share.
#pragma once

#include "column_field.hpp"
#include "column_fit.hpp"
#include "column_members.hpp"
#include "column_normal.hpp"
#include "column_precision.hpp"
#include "column_rows.hpp"

#include <vector>

namespace semrt {

// What one part of an image tells another.
struct ColumnShape {
    ColumnProfile profile;
    CountNoise noise;
    bool is_known;  // else profile is a first guess and noise none
};

class ColumnFitter {
  public:
    // image: kept by the caller.  members: sorted by place.  spacing: of neighbours, about [px].
    ColumnFitter(View2D<float const> image, std::vector<Member> members, double spacing, ColumnShape const &shape,
                 ColumnFitOptions const &options, int n_threads);

    // Finds columns, background, noise, what is missing; and the shape, if it is not known yet.
    void settle(bool with_shape);
    // Finds a background as fine as the image needs, and by how much single columns may still differ from it.
    void settle_background();
    // Puts rows right that the scan displaced, where it did.
    void settle_rows();
    // Goes on until nothing moves, and leaves out what came to nothing.
    void finish();

    ColumnShape shape() const { return {profile_, noise_, true}; }
    ColumnFit result() const;

  private:
    enum class Sweep {
        all,      // improve every column
        stirred,  // only those near new ones
        learn,    // every column, and say which planes the background lacks about each column and each gap
    };
    struct Swept {
        std::vector<Plane> planes;
        double typical = 0;  // median of the movements [px]
    };

    void start();
    Swept sweep(Sweep kind);
    Unknowns bound(Member const &member, NormalEquations &equations) const;
    void move(Member &member, Unknowns const &by) const;
    void add_background(std::vector<Plane> const &planes, bool to_the_border);
    void reweigh();
    std::size_t search();
    bool prune();
    Excess excess() const;
    void redraw() { field_.draw(columns_of(members_), profile_, n_threads_); }
    double core() const { return std::max(profile_.core(), 2.0); }

    View2D<float const> image_;
    ColumnFitOptions options_;
    int n_threads_;
    double spacing_;
    ColumnProfile profile_;
    CountNoise noise_;
    std::vector<Member> members_;
    ColumnField field_;
    std::vector<Plane> gaps_;
    Unknowns prior_{};
    double test_width_ = 0;        // [px]; of the narrower columns by which shifts and heights are seen, if any
    double typical_sigma_ = 0;     // of positions [px]
    RowShiftsOfBoth rows_;         // what the scan displaced
    std::vector<float> straight_;  // the image with its rows put right, once there is reason
};

}  // namespace semrt
