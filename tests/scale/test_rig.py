#!/usr/bin/env python3
"""Tests of the rig's own parts, without processes of the fleet."""

import asyncio
import time
import unittest
import urllib.error
import urllib.request

import day_load
from day_run import seconds_setting, wake_ups
from paced_store import BUCKET, PacedStore
from worker_pods import Pod, PodTimes, WorkerPods

JOB = "01a22c28-c1c9-7340-a960-aa6413950e11"


class Load(unittest.TestCase):
    """Jobs of a day."""

    def test_a_day_keeps_as_many_slots_busy_as_its_curve_says(self):
        jobs = day_load.arrivals(1, 200.0)
        for lane in day_load.LANES:
            held = sum(job.holds for job in jobs if job.lane == lane)
            curve = sum(day_load.slots(lane, minute * 60.0) * 60.0 for minute in range(1440))
            self.assertLess(abs(held / curve - 1), 0.1, lane)

    def test_at_night_there_are_single_jobs_only(self):
        night = [job.at / 3600 for job in day_load.arrivals(1, 200.0) if job.at < day_load.NIGHT_HOURS[1] * 3600]
        self.assertEqual(night, list(day_load.LONELY_HOURS))

    def test_a_seed_is_a_day(self):
        self.assertEqual(day_load.arrivals(1, 200.0), day_load.arrivals(1, 200.0))
        self.assertNotEqual(day_load.arrivals(1, 200.0), day_load.arrivals(2, 200.0))


class Numbers(unittest.TestCase):
    """Figures of a run."""

    def test_a_wake_up_is_from_the_first_job_after_none_to_the_order(self):
        changes = [[0.0, 0, 0], [10.5, 1, 0], [11.0, 1, 1], [20.0, 2, 1], [40.0, 0, 0], [52.0, 1, 0]]
        jobs = [{"at": at} for at in (10.0, 10.2, 19.0, 50.0, 51.0)]
        self.assertEqual(wake_ups(changes, jobs, [1.0, 10.25]), [
            {"at": 10.5, "pushed_s": 0.25, "ordered_s": 0.5, "ready_s": 1.0},
            {"at": 52.0, "pushed_s": None, "ordered_s": 2.0, "ready_s": None}])

    def test_a_setting_of_seconds_has_no_exponent(self):
        settings = [seconds_setting(value) for value in (0.0125, 3.75, 2.0, 0.00001)]
        self.assertEqual(settings, ["0.0125", "3.75", "2", "0"])


class Victims(unittest.IsolatedAsyncioTestCase):
    """The order in which a ReplicaSet deletes pods."""

    async def test_not_ready_then_idle_then_youngest(self):
        costs = {1: 3.0, 2: 0.0, 3: 0.0, 4: 1.0}

        class Client:
            """Admin ports by number."""
            async def metrics(self, port):
                """Returns the busy slots of a port."""
                return {'csm_slots{state="busy"}': costs[port]}

        class Processes:
            """Ports by the names of pods."""
            admin = {f"worker-{number}": number for number in costs}

        pods = WorkerPods(lambda: 100.0, PodTimes(0, 0, 0, 0), Processes(), Client())
        pods.pods = [Pod(f"worker-{number}", float(number), ready_at=number + 10.0) for number in costs]
        pods.pods += [Pod("worker-5", 5.0), Pod("worker-6", 6.0, stopping_at=7.0)]
        self.assertEqual([pod.name[-1] for pod in await pods.victims()], ["5", "3", "2", "4", "1"])


class Store(unittest.IsolatedAsyncioTestCase):
    """The store that paces."""

    async def asyncSetUp(self):
        self.store = PacedStore()
        await self.store.start()

    async def asyncTearDown(self):
        await self.store.end()

    def put(self, key, timeout):
        """Puts an object; returns the seconds that it took, or None after the timeout."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.store.port}/{BUCKET}/{key}", b"RIFF", method="PUT")
        begun = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=timeout):
                return time.monotonic() - begun
        except (TimeoutError, urllib.error.URLError):
            return None

    async def test_a_file_is_answered_when_its_job_has_held_slots_long_enough(self):
        self.store.holds[JOB] = 1.0
        self.assertIsNone(await asyncio.to_thread(self.put, f"audio/{JOB}/a1-w.wav", 0.6))
        took = await asyncio.to_thread(self.put, f"audio/{JOB}/a2-w.wav", 5)
        self.assertTrue(0.3 < took < 0.8, took)
        self.assertEqual(list(self.store.digests), [f"audio/{JOB}/a2-w.wav"])

    async def test_other_objects_are_answered_at_once(self):
        self.assertLess(await asyncio.to_thread(self.put, "audio/probe/w", 5), 0.3)


if __name__ == "__main__":
    unittest.main()
