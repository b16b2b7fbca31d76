"""The Deep Image Prior: networks that were trained on nothing but the one scan that they complete.

A convolutional network that is fitted to some pixels of an image shows, on the others, what its shape finds likely:
edges go on, textures repeat (Ulyanov et al. 2018, arXiv:1711.10925; Trampert et al. 2018 for sparse scans). Here a few
of them are fitted side by side, each blind to some samples of its own, which tell when to stop, how far to trust the
networks beside the classical estimate, and how large the error is.

The one part of semrt that imports torch, and only in the modules that a solver imports when it is called.
"""
