"""Where the probe goes: named scan patterns, the paths they give, and the files that instruments read."""

from semrt.scan.patterns import PATTERNS, Pattern, generate
from semrt.scan.scan_path import ScanPath

__all__ = ["PATTERNS", "Pattern", "ScanPath", "generate"]
