"""Lanes of the queue: whose turn it is (claim.lua), and how workers wait for a job (wake.rs).

A worker that finds no job waits for a token of the lanes that it would take at that moment, for a second at most. When
one of its jobs ends, the worker claims again, but the wait that is under way stays as it is. So a worker may wait for
fewer lanes than it would take by now. A job of another lane then stays in its queue although a slot is free."""

from collections import OrderedDict
from itertools import count

from manifests import FRAME_SECONDS, LANES

LIVE, STANDARD, BULK = range(len(LANES))
# claim.lua: WEIGHT and PATIENCE_MS.
WEIGHTS = (16, 4, 1)
PATIENCE_SECONDS = (1.0, 5.0, 20.0)
# wake.rs: WAIT_MAX, in seconds of the clock, however fast a day is.
WAIT_SECONDS = 1.0
# prelude.lua: WAKE_TOKENS_MAX.
TOKENS_MAX = 64


class Turns:
    """Start-time fair queueing of the lanes over expected frames, with patience."""

    def __init__(self):
        self.tags, self.clock, self.served = [0.0] * len(LANES), 0.0, [None] * len(LANES)

    def next(self, now, accepted, queues):
        """Returns the lane whose turn it is, of those that a worker takes; None if all of them are empty."""
        order = []
        for lane in accepted:
            served = self.served[lane]
            overdue = served is not None and now - served > PATIENCE_SECONDS[lane]
            order.append((not overdue, max(self.clock, self.tags[lane]), lane))
        order.sort()
        for place, (patient, tag, lane) in enumerate(order):
            if not queues[lane]:
                self.served[lane] = None  # An empty lane has not been passed over.
                continue
            self.clock = tag if patient else self.clock
            cost = queues[lane][0].left / FRAME_SECONDS
            self.tags[lane], self.served[lane] = tag + cost / WEIGHTS[lane], now
            for _, _, later in order[place + 1:]:
                if self.served[later] is None:
                    self.served[later] = now
            return lane
        return None


class WakeLists:
    """Tokens by lane, and waits in the order of their beginning. A lane's wait includes the lanes before it."""

    def __init__(self):
        self.tokens = [0] * len(LANES)
        self.waits = [OrderedDict() for _ in LANES]
        self.numbers = count()

    def waits_of(self, worker):
        """Returns the waits among which the worker's is, or None if it has none."""
        return next((waits for waits in self.waits if worker in waits), None)

    def begin(self, worker, last):
        """Begins a wait for all lanes up to the last, whose queues the worker has found empty; returns its number.

        Tokens that lie there are of jobs that others took. The worker takes one after the other, and finds nothing."""
        self.tokens[:last + 1] = [0] * (last + 1)
        self.waits[last][worker] = number = next(self.numbers)
        return number

    def end(self, worker, number=None):
        """Ends the wait of a worker, or only that of a number; tells whether there was one."""
        waits = self.waits_of(worker)
        if waits is None or number not in (None, waits[worker]):
            return False
        del waits[worker]
        return True

    def push(self, lane):
        """Adds a token; ends and returns the first wait for the lane, or keeps the token if there is none."""
        firsts = [next(iter(waits.items())) for waits in self.waits[lane:] if waits]
        if not firsts:
            self.tokens[lane] = min(TOKENS_MAX, self.tokens[lane] + 1)
            return None
        worker = min(firsts, key=lambda item: item[1])[0]
        self.end(worker)
        return worker
