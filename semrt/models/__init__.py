"""Trained models: their manifests, and where they are."""

from semrt.models.manifest import Manifest
from semrt.models.registry import available, find, shipped

__all__ = ["Manifest", "available", "find", "shipped"]
