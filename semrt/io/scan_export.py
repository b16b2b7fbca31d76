"""Write scan paths for instruments; semrt.scan.INSTRUMENTS lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from semrt.errors import InvalidOption
from semrt.io.atomic import replacing
from semrt.scan.instruments import INSTRUMENTS

if TYPE_CHECKING:
    from pathlib import Path

    from semrt.scan import ScanPath

__all__ = ["export_scan"]


def export_scan(
    path: str | Path, scan_path: ScanPath, instrument: str, *, overwrite: bool = False, **options: Any
) -> None:
    """Write the file that an instrument reads, atomically.

    instrument: a key of INSTRUMENTS.  options: those of its function in semrt.scan.instruments.
    Raises InvalidOption, InvalidValue, OutputExists, OutputNotWritable.
    """
    if instrument not in INSTRUMENTS:
        raise InvalidOption.unknown("instrument", instrument, INSTRUMENTS)
    content = INSTRUMENTS[instrument].encode(scan_path, **options)
    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)
