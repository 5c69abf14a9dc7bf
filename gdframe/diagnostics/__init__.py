"""What a run can tell of itself: curvature, stability, the minimum there is, advice."""
