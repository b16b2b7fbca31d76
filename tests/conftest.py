"""What every test stands on."""

import os

# Processes that the tests start must import the installed package, not the sources in the folder they start in, which
# hold no C++ core.
os.environ["PYTHONSAFEPATH"] = "1"
