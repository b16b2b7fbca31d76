"""Where the probe goes: named scan patterns, the paths they give, and how instruments read them."""

from semrt.scan.instruments import INSTRUMENTS, Instrument
from semrt.scan.patterns import PATTERNS, Pattern, generate
from semrt.scan.scan_path import ORDERS, ScanPath

__all__ = ["INSTRUMENTS", "ORDERS", "PATTERNS", "Instrument", "Pattern", "ScanPath", "generate"]
