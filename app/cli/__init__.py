"""The command line: one file a group of commands, `main.py` joins them, `entry.py` begins.

Heavy modules (drivers, Faust, FastAPI) are imported inside the commands that need them: the others start at once.
Exit codes: 0 good, 1 the answer is no, 2 wrong use, 130 after Ctrl-C.
"""
