"""S3 server on a free port, whose answer to the file of a job comes when the job has held its slot long enough.

It paces real workers: a worker speaks one frame in milliseconds, then its slot is held until the file is stored. The
time that a job has held slots of earlier workers counts, as a resumed job goes on from its codes. Files are not kept,
only their digests."""

import asyncio
import hashlib
import re
import time

from aiohttp import web

BUCKET = "audio"
BODY_BYTES_MAX = 64 << 20
# A worker's own time before and after the answer is a part of the job's.
AUDIO = re.compile(r"audio/([0-9a-f-]{36})/a(\d+)-")


class PacedStore:
    """The server, and what it was sent. A job without a time is answered at once."""

    def __init__(self):
        self.holds = {}    # Seconds that a job holds a slot, by id.
        self.held = {}     # Seconds that a job has held slots of workers that are gone, by id.
        self.digests = {}  # SHA-256 of each object, by key.
        self.runner, self.port = None, None

    async def start(self):
        """Listens on a free port."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_route("*", f"/{BUCKET}{{slash:/?}}{{key:.*}}", self.answer)
        # A worker that goes in the middle of a request ends its handler.
        self.runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.port = self.runner.addresses[0][1]

    async def end(self):
        """Closes the port and all connections."""
        await self.runner.cleanup()

    def environment(self):
        """Returns the settings of a process that uses this store."""
        return {"CSM_STORE": f"s3:{BUCKET}", "CSM_S3_ENDPOINT": f"http://127.0.0.1:{self.port}",
                "CSM_S3_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "scale", "AWS_SECRET_ACCESS_KEY": "scale"}

    async def answer(self, request):
        """Answers the operations that gateways and workers use."""
        key = request.match_info["key"]
        if request.method == "PUT":
            digest = hashlib.sha256(await request.read()).hexdigest()
            await self.hold(key)
            self.digests[key] = digest
            return web.Response(headers={"ETag": f'"{digest}"'})
        if request.method == "DELETE":
            self.digests.pop(key, None)
            return web.Response(status=204)
        if request.method == "HEAD" and not key:
            return web.Response()
        return web.Response(status=404)

    async def hold(self, key):
        """Waits until the job of a key has held its slot long enough."""
        found = AUDIO.match(key)
        job = found and found.group(1)
        left = self.holds.get(job, 0.0) - self.held.get(job, 0.0)
        begun = time.monotonic()
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            self.held[job] = self.held.get(job, 0.0) + time.monotonic() - begun
            raise
