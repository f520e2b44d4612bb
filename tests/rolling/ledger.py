"""What callers saw, by the restart that they saw it in."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

# Longest time until every surface has spoken once after a restart.
SETTLE_SECONDS = 180


@dataclass
class Call:
    """One call of a caller, from its first request to its whole result."""

    surface: str
    began: float
    ended: float = 0.0
    # Fault of the first try that had one.
    fault: str = ""
    fault_at: float = 0.0
    # Fault that was left after the client's own tries.
    lost: str = ""
    # Bytes of the undisturbed result that the caller did not get.
    missing: int = 0
    # Longest time between two pieces of one stream of audio, in seconds.
    gap: float = 0.0
    # Connections that the server closed between two utterances or events, as its protocol foresees.
    reconnects: int = 0
    # SHA-256 of the samples, if a receipt must be found that has the same.
    digest: str = ""

    def failed(self, fault):
        """Notes a try that failed."""
        if not self.fault:
            self.fault, self.fault_at = fault, time.monotonic()


@dataclass
class Restart:
    """Restart of a component, with the calls that ended from then on."""

    component: str
    round: int
    began: float
    done: float = 0.0
    # Moments of the restart, by name.
    marks: dict = field(default_factory=dict)
    calls: list = field(default_factory=list)
    # Attempts that jobs were charged with, and attempts that were handed back uncharged.
    burned: int = 0
    handed_back: int = 0

    def row(self):
        """Returns the line of the table."""
        faults, lost = sum(bool(call.fault) for call in self.calls), sum(bool(call.lost) for call in self.calls)
        term = self.marks.get("SIGTERM", self.began)
        open_calls = sum(call.began < term < call.ended for call in self.calls)
        return [self.component, str(self.round), str(len(self.calls)), str(open_calls), str(faults), str(lost),
                str(self.burned), str(self.handed_back), str(sum(call.missing for call in self.calls)),
                str(sum(call.reconnects for call in self.calls)),
                f"{max((call.gap for call in self.calls), default=0):.1f}", f"{max(0, self.done - self.began):.0f}"]

    def faults(self):
        """Lists the faults, with seconds since the restart began."""
        marks = ", ".join(f"{name} {at - self.began:.1f}" for name, at in self.marks.items())
        return [f"{self.component}, round {self.round} ({marks}): {call.surface}, {call.began - self.began:.1f} to "
                f"{call.ended - self.began:.1f}, fault at {call.fault_at - self.began:.1f}: "
                f"{call.fault}{' (lost)' if call.lost else ''}" for call in self.calls if call.fault]


HEADS = ["component", "round", "calls", "open at SIGTERM", "failed", "lost", "burned", "handed back", "bytes missing",
         "reconnects", "longest gap s", "restart s"]


class Ledger:
    """Calls of all callers. The first entry of `restarts` is the time before any."""

    def __init__(self):
        self.changed = threading.Condition()
        self.restarts = [Restart("(none)", 0, time.monotonic())]

    def begin(self, component, number):
        """Begins a restart: what ends from now on belongs to it."""
        restart = Restart(component, number, time.monotonic())
        with self.changed:
            self.restarts.append(restart)
        return restart

    def add(self, call):
        """Adds a call that has ended."""
        call.ended = time.monotonic()
        with self.changed:
            self.restarts[-1].calls.append(call)
            self.changed.notify_all()

    def settle(self, surfaces):
        """Waits until each surface has a call that began and ended after now."""
        now = time.monotonic()

        def missing():
            fresh = {call.surface for restart in self.restarts for call in restart.calls if call.began >= now}
            return set(surfaces) - fresh

        with self.changed:
            if not self.changed.wait_for(lambda: not missing(), SETTLE_SECONDS):
                raise TimeoutError(f"no call within {SETTLE_SECONDS} s: {', '.join(sorted(missing()))}")

    def check_digests(self, known):
        """Marks calls whose samples no receipt has."""
        with self.changed:
            for restart in self.restarts:
                for call in restart.calls:
                    if call.digest and call.digest not in known:
                        call.failed("samples that no receipt has")
                        call.lost = call.lost or call.fault
                    call.digest = ""

    def surfaces(self):
        """Returns rows of surface, calls, failed and lost calls."""
        calls = [call for restart in self.restarts for call in restart.calls]
        count, failed, lost = (Counter(call.surface for call in calls if test(call)) for test in (
            lambda call: True, lambda call: call.fault, lambda call: call.lost))
        return [[surface, str(count[surface]), str(failed[surface]), str(lost[surface])] for surface in sorted(count)]


def table(heads, rows):
    """Formats a table."""
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [heads, *rows]]
    return "\n".join(lines)
