"""The rules, pure: no I/O, no clock, no settings. The same input gives the same answer."""
