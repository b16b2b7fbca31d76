"""`python -m semrt.cli` is the semrt command, where no script is installed."""

from semrt.cli import main

main(prog_name="semrt")
