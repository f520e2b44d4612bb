"""A fleet that the browser answers for: numbers of `/v1/admin`, and the requests that operate."""

import copy
import json

from playwright.sync_api import Page, Route

TOKEN = "the-token-of-this-test"
WORKER = {
    "id": "gpu-1:0123456789abcdef",
    "host": "gpu-1",
    "model": "m",
    "build": "0.1.0-4f1c2d3",
    "slots": 5,
    "running": 3,
    "draining": False,
    "frames_per_second": 80.0,
}


def lane(name: str, **changes) -> dict:
    numbers = {
        "lane": name,
        "waiting": 0,
        "running": 0,
        "oldest_s": None,
        "waiting_audio_s": 0.0,
        "running_audio_s": 0.0,
        "wait_s": 0.0,
        "desired_slots": 0,
        "target_wait_s": 30.0,
        "unclaimed": None,
        "paused": False,
    }
    return {**numbers, **changes}


def overview(**changes) -> dict:
    """Returns the numbers of a fleet at rest, with changes."""
    numbers = {
        "access": "read_only",
        "model": {"name": "m", "kind": "real"},
        "closed": False,
        "gateway_version": "0.1.0",
        "lanes": [lane("live"), lane("standard"), lane("bulk")],
        "workers": [WORKER],
        "open": 0,
        "running": 0,
        "suspects": 0,
        "delayed": 0,
        "dead_letters": 0,
        "ended": [{"state": "succeeded", "jobs": 7}, {"state": "failed", "jobs": 2}],
        "frames_per_second": 80.0,
        "slots": {"there": 5, "busy": 3, "desired": 0, "audio_s_per_s": 1.28, "measured": True},
        "builds": [{"build": "0.1.0-4f1c2d3", "workers": 1, "slots": 5}],
    }
    return {**copy.deepcopy(numbers), **changes}


BUSY = overview(
    lanes=[
        lane(
            "live",
            waiting=2,
            running=3,
            oldest_s=4.2,
            waiting_audio_s=9.0,
            wait_s=1.1,
            desired_slots=7,
            target_wait_s=2.0,
        ),
        lane("standard", waiting=40, oldest_s=95.0, waiting_audio_s=400.0, wait_s=60.0, desired_slots=11),
        lane(
            "bulk",
            waiting=512,
            oldest_s=4_000.0,
            waiting_audio_s=5_000.0,
            wait_s=None,
            paused=True,
            target_wait_s=600.0,
        ),
    ],
    open=557,
    running=3,
    suspects=1,
    dead_letters=37,
    workers=[
        WORKER,
        {**WORKER, "id": "gpu-2:fedcba9876543210", "host": "gpu-2", "build": "0.1.1-aaaaaaa", "draining": True},
    ],
    slots={"there": 5, "busy": 3, "desired": 18, "audio_s_per_s": 1.28, "measured": True},
    builds=[{"build": "0.1.0-4f1c2d3", "workers": 1, "slots": 5}, {"build": "0.1.1-aaaaaaa", "workers": 1, "slots": 5}],
)
UNCLAIMED = overview(
    workers=[],
    builds=[],
    open=4,
    slots={"there": 0, "busy": 0, "desired": 1, "audio_s_per_s": 1.0, "measured": False},
    lanes=[
        lane("live"),
        lane(
            "standard",
            waiting=4,
            oldest_s=95.0,
            waiting_audio_s=12.0,
            wait_s=None,
            desired_slots=1,
            unclaimed="no_worker",
        ),
        lane("bulk"),
    ],
)
AT = "2026-11-30T10:00:00Z"
JOB = "01a2288a-89d6-7742-86ae-3d975ab868ef"
LETTER = {
    "id": JOB,
    "at": AT,
    "class": "resource",
    "error": "out of memory",
    "lane": "bulk",
    "tenant": "acme",
    "attempt": 3,
    "failures": 3,
    "crashes": 0,
    "worker": "gpu-1:0123456789abcdef",
    "build": "0.1.0",
}
GROUP = {"class": "resource", "count": 37, "oldest": AT, "newest": AT}
ENDS = [
    {
        "at": AT,
        "state": "succeeded",
        "reason": "eos",
        "lane": "live",
        "worker": WORKER["id"],
        "attempt": 1,
        "seconds": 1.5,
    },
    {
        "at": AT,
        "state": "failed",
        "reason": "resource",
        "lane": "bulk",
        "worker": WORKER["id"],
        "attempt": 3,
        "seconds": 0.2,
    },
    {"at": AT, "state": "expired", "reason": None, "lane": "standard", "worker": None, "attempt": 0, "seconds": None},
]


class Fleet:
    """A fleet that the browser answers for. It keeps the requests that operate, and knows the token."""

    def __init__(self, page: Page, numbers: dict) -> None:
        self.numbers, self.ends, self.orders, self.away, self.reads = numbers, ENDS, [], False, 0
        page.route("**/v1/admin/**", self.answer)

    def answer(self, route: Route) -> None:
        path = route.request.url.split("/v1/admin/")[1]
        sent = route.request.headers.get("authorization")
        self.reads += 1
        if self.away:
            return route.fulfill(
                status=503, json={"status": 503, "code": "unavailable", "detail": "A part is out of reach."}
            )
        if sent not in (None, f"Bearer {TOKEN}"):
            return route.fulfill(
                status=401, json={"status": 401, "code": "admin_token", "detail": "The token is wrong."}
            )
        operator = sent is not None
        if route.request.method == "POST":
            return self.operate(route, path)
        if path == "fleet":
            return route.fulfill(json={**self.numbers, "access": "operator" if operator else self.numbers["access"]})
        if path == "ends":
            named = {"job": JOB, "tenant": "acme"} if operator else {}
            return route.fulfill(json={"ends": [{**end, **named} for end in self.ends]})
        named = {"error": "out of memory", "letters": [LETTER]} if operator else {}
        count = self.numbers["dead_letters"]
        return route.fulfill(json={"total": count, "grouped": count, "groups": [{**GROUP, **named, "count": count}]})

    def operate(self, route: Route, path: str) -> None:
        order = json.loads(route.request.post_data) if route.request.post_data else None
        self.orders.append((path, order))
        if path.startswith("lanes/"):
            _, name, action = path.split("/")
            for one in self.numbers["lanes"]:
                one["paused"] = one["paused"] if one["lane"] != name else action == "pause"
            return route.fulfill(json={})
        count = self.numbers["dead_letters"]
        if order.get("dry_run"):
            return route.fulfill(
                json={"dry_run": True, "matched": 1 if "id" in order else count, "done": 0, "left": 0, "until": AT}
            )
        # A call handles some letters only.
        done = 1 if "id" in order else min(count, 20)
        self.numbers["dead_letters"] -= done
        left = 0 if "id" in order else self.numbers["dead_letters"]
        return route.fulfill(json={"dry_run": False, "matched": count, "done": done, "left": left, "until": AT})
