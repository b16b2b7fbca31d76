"""Scenes as microscopes see them: each a function of a generator and a shape, (ny, nx) float32 in [0, 1].

Feature sizes are drawn over orders of magnitude, so that every kind is seen at many magnifications.
"""
