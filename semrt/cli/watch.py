"""semrt watch: a folder in which an instrument writes; results, as its files appear."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semrt.cli._values import duration
from semrt.cli.infer import infer
from semrt.errors import InputNotFound, InvalidOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from semrt.backends import Session
    from semrt.cli._job import Job
    from semrt.tasks import Solver

__all__ = ["watch"]

FOLDER = click.Path(path_type=Path)
OWN = {"model", "inputs", "output", "as_json"}
"""What watch says otherwise than infer; it has all other options of it."""


@click.command(short_help="Run a model on the files of a folder as they appear.")
@click.argument("folder", type=FOLDER)
@click.option("--model", required=True, help="A name that semrt models list shows, or a folder with a semrt.json.")
@click.option("-o", "--output", type=FOLDER, required=True, help="Folder of the results.")
@click.option("--poll", type=duration, default="2s", show_default=True, help="How often to look.")
@click.option(
    "--settle", type=duration, default="2s", show_default=True, help="A file that has not changed for so long is whole."
)
@click.option("--once", is_flag=True, help="End when all that is there is done.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, for each result and each failure.")
def watch(folder: Path, model: str, poll: float, settle: float, once: bool, as_json: bool, **given: Any) -> int:
    """Run a model on the files of a folder as they appear.

    Results are those of `semrt infer`, with the same names and options, and their names go to stdout as they are
    written. Ctrl-C ends the watch.

    A file is read when its size and time have settled, and again when it changes. What was done stands in
    semrt-watch_{model}.jsonl beside the results, and the next watch goes on from there. A file that fails is told of
    once, and tried again when it changes or another watch begins. Results that no watch made are left alone:
    --skip-existing counts them as done, --overwrite does everything again.
    """
    from semrt.cli._job import Job, leave
    from semrt.cli._journal import Journal
    from semrt.cli._watching import Watching
    from semrt.io.arrivals import Arrivals

    out: Path = given["output"]
    job = Job.of(model, given)
    _check_folders(folder, out, job)

    def tell(record: Mapping[str, Any]) -> None:
        if as_json:
            click.echo(json.dumps(record))
        elif "output" in record:
            click.echo(record["output"])

    arrivals = Arrivals(folder, settle, recursive=given["recursive"], without=(out, *job.read_with))
    journal = Journal(out / f"semrt-watch_{job.name}.jsonl")
    watching = Watching(job, arrivals, journal, tell, poll=poll, once=once)
    with job.batch(lambda opened: "", watching.redone) as batch:
        click.echo(_header(job, batch.model, folder, poll, once=once), err=True)
        summary = batch.run(watching)
    if summary.interrupted:
        click.echo(
            "semrt: stopped watching; finished results are whole, and the next watch goes on from there", err=True
        )
    return leave(summary)


watch.params += [option for option in infer.params if option.name not in OWN]


def _check_folders(folder: Path, out: Path, job: Job) -> None:
    """Raise InputNotFound, or InvalidOption where a folder is none, or where results would be taken for inputs."""
    if not folder.exists():
        raise InputNotFound(folder)
    if not folder.is_dir():
        raise InvalidOption(f"watch {folder}: is a file; name its folder, or run semrt infer on it")
    if job.targets([Path("x")])[Path("x")].parent != out:
        raise InvalidOption(f"output {out}: names a file; name a folder")
    if out.resolve() == folder.resolve():
        raise InvalidOption(f"output {out}: is the watched folder; choose another, such as {folder / job.name}")


def _header(job: Job, opened: Session | Solver, folder: Path, poll: float, *, once: bool) -> str:
    from semrt.cli._job import where_text

    how = "once" if once else f"every {poll:g} s until Ctrl-C"
    return f"watching {folder} for {job.kind.INPUT}s, {how}, with {job.name}{where_text(opened)}"
