"""Trained models: their manifests and test tensors, and where they are."""

from semrt.models.manifest import Manifest
from semrt.models.reference import REFERENCE, Reference
from semrt.models.registry import available, find, shipped

__all__ = ["REFERENCE", "Manifest", "Reference", "available", "find", "shipped"]
