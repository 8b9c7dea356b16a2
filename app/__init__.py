"""Scorekeeper, the product.

domain/        the rules, pure
ports.py       what the rules need from the outside, as protocols
tracking.py    write path: a batch of messages -> counters, exactly once
reporting.py   read path: goals with their progress
defining.py    definitions' write path: create, edit, archive, wait until live
stores/        SQL and Redis, one driver a file, and the in-memory twins
streams/       what we add to Faust and Kafka
embedded/      broker and Redis for a machine without servers
cli/           the command line
bootstrap/     the one place where things are wired; worker.py: the Faust app
"""

import gc

# Loading makes many objects and hardly any garbage: at the interpreter's own thresholds, looking for it is a tenth of
# the start of every command, worker and API.
gc.set_threshold(50_000, 50, 100)
