"""Pictures and figures for people: previews of results, timings, the state of an installation."""
