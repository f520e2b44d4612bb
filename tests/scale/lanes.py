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


class Waits:
    """Waits under way, in the order of their beginning. A wait for a lane is also one for the lanes before it.

    A token that comes while nobody waits for its lane is not kept: a worker claims before it waits, so such a token
    would wake it for nothing."""

    def __init__(self):
        self.waiting = [OrderedDict() for _ in LANES]
        self.numbers = count()

    def has(self, worker):
        """Tells whether a wait of the worker is under way."""
        return any(worker in waiting for waiting in self.waiting)

    def begin(self, worker, last):
        """Begins a wait for all lanes up to the last; returns its number."""
        self.waiting[last][worker] = number = next(self.numbers)
        return number

    def end(self, worker, number=None):
        """Ends the wait of a worker, or only that of a number; tells whether there was one."""
        waiting = next((waiting for waiting in self.waiting if worker in waiting), None)
        if waiting is None or number not in (None, waiting[worker]):
            return False
        del waiting[worker]
        return True

    def push(self, lane):
        """Ends the first wait for a lane, and returns its worker; None if nobody waits."""
        firsts = [next(iter(waiting.items())) for waiting in self.waiting[lane:] if waiting]
        if not firsts:
            return None
        worker = min(firsts, key=lambda item: item[1])[0]
        self.end(worker)
        return worker
