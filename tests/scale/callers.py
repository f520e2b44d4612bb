"""Callers of a run: they send the jobs of a load at their times, and read every record at the end."""

import asyncio
import uuid
from dataclasses import dataclass
from datetime import datetime

import aiohttp

FINAL = ("succeeded", "failed", "cancelled", "expired")
TRIES_MAX, TRY_PAUSE_SECONDS = 50, 0.1
READERS, LOOK_SECONDS = 8, 0.1


@dataclass(frozen=True)
class Speech:
    """What a job says, and the most milliseconds of it."""
    text: str
    most_ms: int


# The worker speaks one frame of it; the store holds the slot for the rest.
PACED = Speech("Hello.", 80)


class Callers:
    """Callers of one gateway; times are real seconds of the run."""

    def __init__(self, clock, client, port, store, pace, speech):
        self.clock, self.session, self.store = clock, client.session, store
        self.url, self.pace, self.speech = f"http://127.0.0.1:{port}/v1/jobs/", pace, speech
        self.sent, self.refused = [], 0

    async def send_all(self, arrivals):
        """Sends each job at its time; `pace` is how much faster than its own the day goes."""
        async with asyncio.TaskGroup() as group:
            for arrival in arrivals:
                await asyncio.sleep(max(0.0, arrival.at / self.pace - self.clock()))
                group.create_task(self.send(arrival))

    async def send(self, arrival):
        """Sends one job under an id of its own, again until the answer says that it is accepted."""
        job = {"id": str(uuid.uuid4()), "lane": arrival.lane, "holds": arrival.holds / self.pace, "at": self.clock()}
        self.store.holds[job["id"]] = job["holds"]
        body = {"text": self.speech.text, "lane": arrival.lane, "max_audio_length_ms": self.speech.most_ms}
        for _ in range(TRIES_MAX):
            try:
                async with self.session.put(self.url + job["id"], json=body) as answer:
                    if answer.status in (200, 202):
                        self.sent.append(job)
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(TRY_PAUSE_SECONDS)
        self.refused += 1

    async def read_all(self, limit, epoch):
        """Reads each job's record, until it has ended or the time is over; adds what it says to the job."""
        queue = list(self.sent)

        async def reader():
            while queue:
                await self.read(queue.pop(0), limit, epoch)
        await asyncio.gather(*(reader() for _ in range(READERS)))

    async def read(self, job, limit, epoch):
        """Reads one record; a job without one has the status `missing`."""
        while True:
            record = await self.record(job)
            if record.get("status") in FINAL or self.clock() > limit:
                break
            await asyncio.sleep(LOOK_SECONDS)
        receipt = record.get("receipt", {})
        stored = self.store.digests.get(receipt.get("location"))
        job.update(
            status=record.get("status", "missing"), attempt=record.get("attempt", 0),
            burnt=record.get("failures", 0) + record.get("crashes", 0), suspect=record.get("suspect", False),
            wait=receipt.get("queue_ms", 0) / 1000, spoken_s=receipt.get("duration_ms", 0) / 1000,
            has_file=stored is not None and stored == receipt.get("sha256"),
            ended_at=seconds(record.get("finished_at"), epoch), began_at=seconds(record.get("started_at"), epoch))

    async def record(self, job):
        """Returns a job's record, empty if there is none."""
        for _ in range(TRIES_MAX):
            try:
                async with self.session.get(self.url + job["id"]) as answer:
                    if answer.status in (200, 404):
                        return await answer.json() if answer.status == 200 else {}
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(TRY_PAUSE_SECONDS)
        return {}


def seconds(moment, epoch):
    """Returns a time of a record as seconds of the run."""
    return datetime.fromisoformat(moment).timestamp() - epoch if moment else None
