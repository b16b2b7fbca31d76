"""What every test stands on."""

import os
import signal

# Processes that the tests start must import the installed package, not the sources in the folder they start in, which
# hold no C++ core.
os.environ["PYTHONSAFEPATH"] = "1"

# A shell starts what runs in the background with Ctrl-C ignored, and Python leaves it so; tests of Ctrl-C would wait
# for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
