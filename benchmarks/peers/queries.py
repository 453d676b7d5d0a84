"""What a contestant of `identify.py` speaks: one query per line in, verdict and seconds out.

    {"nodes": [...], "directed": [[a, b], ...], "bidirected": [...], "outcome": y, "treatment": x}
        → {"seconds": ..., "identified": true, "terms": probabilities in the formula, or null}

Making the peer's own graph is not timed. Needs the standard library alone: peers pin their own.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = ["serve"]


def serve(
    prepare: Callable[[dict[str, Any]], Any],
    answer: Callable[[Any], Any],
    read: Callable[[Any], tuple[bool, int | None]],
) -> None:
    """Answer until the input is closed.

    Args:
        prepare: Makes the peer's own graph and query; not timed.
        answer: Identifies; timed. It returns rather than raises where there is no formula.
        read: The verdict and the number of probabilities of what was answered; not timed.
    """
    for line in sys.stdin:
        try:
            prepared = prepare(json.loads(line))
            begin = time.perf_counter()
            found = answer(prepared)
            seconds = time.perf_counter() - begin
            identified, terms = read(found)
            reply = {"seconds": seconds, "identified": identified, "terms": terms}
        except Exception as failure:
            reply = {"error": f"{type(failure).__name__}: {failure}"[:200]}
        print(json.dumps(reply), flush=True)
