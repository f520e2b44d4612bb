"""A pipeline of one speech service, and the frames that leave it."""

import asyncio

from pipecat.frames.frames import (
    EndFrame, ErrorFrame, TTSAudioRawFrame, TTSSpeakFrame, TTSStoppedFrame, TTSTextFrame)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner


class Ear(FrameProcessor):
    """Tells of the frames of one direction and passes them on."""

    def __init__(self, tell, direction, kinds):
        super().__init__()
        self.tell, self.direction, self.kinds = tell, direction, kinds

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if direction == self.direction and isinstance(frame, self.kinds):
            self.tell(frame)
        await self.push_frame(frame, direction)


class Bot:
    """Runs a pipeline while it is entered."""

    def __init__(self, service):
        self.frames, self.spoken = asyncio.Queue(), []
        before = Ear(self.frames.put_nowait, FrameDirection.UPSTREAM, ErrorFrame)
        after = Ear(self.frames.put_nowait, FrameDirection.DOWNSTREAM, (TTSAudioRawFrame, TTSStoppedFrame))
        words = Ear(self.spoken.append, FrameDirection.DOWNSTREAM, TTSTextFrame)
        self.worker = PipelineWorker(
            Pipeline([before, service, after, words]), cancel_on_idle_timeout=False, enable_rtvi=False,
            params=PipelineParams(audio_out_sample_rate=24000))
        self.started = asyncio.Event()

        @self.worker.event_handler("on_pipeline_started")
        async def _on_started(_worker, _frame):
            self.started.set()

    async def __aenter__(self):
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self.worker)
        self.running = asyncio.ensure_future(runner.run())
        await asyncio.wait_for(self.started.wait(), 30)
        return self

    async def __aexit__(self, *_):
        await self.worker.queue_frame(EndFrame())
        await asyncio.wait_for(self.running, 60)

    async def say(self, text):
        """Asks the service to speak a text."""
        await self.worker.queue_frame(TTSSpeakFrame(text))

    async def next(self):
        """Returns the next frame of sound, or the frame that ends a speech or tells an error."""
        return await asyncio.wait_for(self.frames.get(), 90)

    async def rest(self):
        """Reads frames up to the end of the speech; returns the sound and the error, if any."""
        sound, error = b"", None
        while True:
            frame = await self.next()
            if isinstance(frame, TTSAudioRawFrame):
                assert frame.sample_rate == 24000 and frame.num_channels == 1, frame
                sound += frame.audio
            elif isinstance(frame, ErrorFrame):
                return sound, frame.error
            else:
                return sound, error
