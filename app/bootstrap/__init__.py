"""The one place where things are wired: settings in, working parts out. No rule lives here.

addresses.py   where each server is: a setting, or what `scorekeeper up` runs in the data directory
certificates.py  files for TLS that settings name
parts.py       the parts of any process, each made when it is first asked for
worker.py      what a worker is made of; priority.py: when it gives way to others; rebuilding.py: what a rebuild is
observing.py   what is measured of stores and steps; tracing.py: spans, for those who ask for them
collecting.py  the garbage collector's settings, by what a process does
pipeline.py    the state of it all, as operators see it; accounting.py: what became of every message
"""

from app.bootstrap.addresses import database_url, kafka_address, load_settings, redis_url
from app.bootstrap.certificates import require_certificate
from app.bootstrap.parts import Parts, folding_rules, parsing_rules
from app.bootstrap.pipeline import PipelineReader, pipeline_status, read_spans
from app.bootstrap.tracing import make_tracer
from app.bootstrap.worker import WorkerParts, worker_parts

__all__ = [
    "Parts",
    "PipelineReader",
    "WorkerParts",
    "database_url",
    "folding_rules",
    "kafka_address",
    "load_settings",
    "make_tracer",
    "parsing_rules",
    "pipeline_status",
    "read_spans",
    "redis_url",
    "require_certificate",
    "worker_parts",
]
