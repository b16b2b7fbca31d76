"""Images of a scan that is still under way."""

from semrt.live.live_infill import LiveInfill

__all__ = ["LiveInfill"]
