"""Training data: pools of precomputed samples, and crops of real micrographs."""
