"""A worker whose Kafka client calls a consumer idle after as many seconds as are given, and not after five minutes:
`python -m tests.faults.impatient_worker SECONDS`. Protections named after it are taken out.
"""

from __future__ import annotations

import sys

from tests.faults.sabotage import sabotage
from tests.faults.taking_out import with_settings

if __name__ == "__main__":
    with_settings(broker_max_poll_interval=float(sys.argv[1]))
    sabotage(sys.argv[2:])
    from agents.__main__ import main

    sys.exit(main())
