"""What every test stands on."""

import os
import signal

from hypothesis import settings

# Processes that the tests start must import the installed package, not the sources in the folder they start in, which
# hold no C++ core.
os.environ["PYTHONSAFEPATH"] = "1"

# A shell starts what runs in the background with Ctrl-C ignored, and Python leaves it so; tests of Ctrl-C would wait
# for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Drawn examples are the same in every run, here as where the variable CI is set: a failure is one of the code.
settings.load_profile("ci")
