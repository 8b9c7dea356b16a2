"""The one place where things are wired: settings in, working parts out. No rule lives here.

addresses.py   where each server is: a setting, or what `scorekeeper up` runs in the data directory
parts.py       the parts of any process, each made when it is first asked for
worker.py      what a worker is made of
"""

from app.bootstrap.addresses import database_url, kafka_address, load_settings, redis_url
from app.bootstrap.parts import Parts
from app.bootstrap.worker import WorkerParts, worker_parts

__all__ = [
    "Parts",
    "WorkerParts",
    "database_url",
    "kafka_address",
    "load_settings",
    "redis_url",
    "worker_parts",
]
