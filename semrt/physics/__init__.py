"""What a specimen does to the beam, as operators that simulation, solvers and tests share, in NumPy alone."""
