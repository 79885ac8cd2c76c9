"""`make bench`: ratios against stated limits, measured side by side in one run (A-B-A-B, medians).

Status 1 when a limit is missed. Needs Java, Maven and `wrk`, the load generator (Debian's package of that name).
"""

from __future__ import annotations

import sys

from tests.bench.receiver import measure

if __name__ == "__main__":
    sys.exit(0 if measure() else 1)
