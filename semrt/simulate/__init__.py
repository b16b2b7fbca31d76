"""Seeded synthetic data with exact truth, in NumPy alone."""
