"""semrt doctor: is this computer ready, and if not, which command mends it."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from semrt.errors import DeviceUnavailable

__all__ = ["doctor"]

SIGNS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "fault": ("FAULT", "red")}


@click.command(short_help="Check this computer: packages, devices, models.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(as_json: bool) -> int:
    """Check this computer: packages, devices, models.

    Each thing is tried, and each fault comes with the command that mends it. Exits with 5 if there is one.
    """
    from semrt.report.diagnosis import diagnose

    findings = []
    for finding in diagnose():
        findings.append(finding)
        if not as_json:
            word, colour = SIGNS[finding.state]
            click.echo(f"{click.style(f'{word:<5}', fg=colour)}  {finding.what:<14} {finding.detail}")
            if finding.cure:
                click.echo(f"{'':<7}{'':<14} -> {finding.cure}")
    faults = sum(finding.state == "fault" for finding in findings)
    if as_json:
        click.echo(json.dumps({"ready": faults == 0, "findings": [asdict(found) for found in findings]}))
    else:
        click.echo("ready" if faults == 0 else f"{faults} {'faults' if faults > 1 else 'fault'} to mend")
    return DeviceUnavailable.exit_code if faults else 0
