#!/usr/bin/env python3
"""Tests of the models of a fleet and of what they are made of. Expectations were computed by hand."""

import math
import unittest
from unittest import mock

import curve
import flow
import recording
import redis_load
import sizing
from fleet import Model
from lanes import BULK, LIVE, STANDARD, Waits
from manifests import load
from oracle import Oracle
from outcome import quantile
from recording import Fleet, Job

# A slot makes a second of audio in a second.
REAL_TIME = Fleet(frames_per_second=12.5, drain=3.0)


def jobs(*described):
    """Returns jobs of (time, lane, audio)."""
    return [Job(str(place), *each) for place, each in enumerate(described)]


def waits(run):
    """Returns the waits of all jobs in the order of their arrival."""
    return [round(task.wait, 6) for task in run.tasks]


def run(described, fleet=REAL_TIME, plan=((0.0, 1),), duration=100.0, **more):
    """Runs a plan."""
    return Model(jobs(*described), fleet, duration, plan=list(plan), **more).run()


class Slots(unittest.TestCase):
    """Claims."""

    def test_the_sixth_job_waits_for_the_first(self):
        self.assertEqual(waits(run([(0.0, LIVE, 4.0)] * 6)), [0, 0, 0, 0, 0, 4.0])

    def test_an_overhead_takes_time(self):
        self.assertEqual(waits(run([(0.0, LIVE, 4.0)] * 6, Fleet(overhead=0.5))), [0, 0, 0, 0, 0, 4.5])

    def test_calls_take_time(self):
        slow = Fleet(calls=((0.0, 0.25),))
        # 0.25 s to claim, 4 s of speech, 0.25 s to tell the end, 0.25 s to claim.
        self.assertEqual(waits(run([(0.0, LIVE, 4.0)] * 6, slow)), [0.25] * 5 + [4.75])

    def test_the_last_slot_is_for_live_jobs_and_one_more_is_not_for_bulk_jobs(self):
        self.assertEqual(waits(run([(0.0, STANDARD, 4.0)] * 5 + [(1.0, LIVE, 1.0)])), [0, 0, 0, 0, 4.0, 0])
        self.assertEqual(waits(run([(0.0, BULK, 4.0)] * 4 + [(1.0, STANDARD, 1.0)])), [0, 0, 0, 4.0, 0])
        self.assertEqual(Fleet(slots=1).lane_slots(), (1, 1, 1))
        self.assertEqual(Fleet(slots=2).lane_slots(), (2, 1, 1))

    def test_lanes_share_by_weight(self):
        one = Fleet(slots=1)
        done = run([(0.0, lane, 0.08) for _ in range(30) for lane in range(3)], one)
        first = sorted(done.tasks, key=lambda task: task.wait)[:42]
        counts = [sum(task.job.lane == lane for task in first) for lane in range(3)]
        self.assertEqual(sum(counts), 42)
        # 16 : 4 : 1 of 42 is 32 : 8 : 2; there are 30 live jobs, and the start serves each lane once.
        self.assertTrue(28 <= counts[LIVE] <= 30 and 8 <= counts[STANDARD] <= 10 and 2 <= counts[BULK] <= 4, counts)

    def test_a_lane_that_was_passed_over_for_too_long_is_next(self):
        one = Fleet(slots=1)
        # A bulk job of 50 frames is worth 80 live ones of 10, so by weight alone the second would wait for 64 s. It is
        # served at 0.8 s, and may be passed over for 20 s. Live jobs end each 0.8 s.
        done = run([(0.0, LIVE, 0.8)] * 120 + [(0.0, BULK, 4.0), (0.0, BULK, 4.0)], one, duration=200.0)
        first, second = (task.wait for task in done.tasks if task.job.lane == BULK)
        self.assertAlmostEqual(first, 0.8)
        self.assertTrue(20.8 <= second <= 22.4, second)


class WaitsForJobs(unittest.TestCase):
    """Waits of workers without a job to take."""

    def test_a_wait_is_for_the_lanes_of_its_beginning(self):
        bulk = [(0.0, BULK, 4.0), (0.0, BULK, 4.0), (0.0, BULK, 0.2), (0.3, BULK, 1.0)]
        # With three bulk jobs the worker waits for others, until 1 s. One of the three ends at 0.2 s, which the wait
        # does not know: the fourth has a slot from 0.3 s on, and gets it at 1 s.
        self.assertEqual(waits(run(bulk)), [0, 0, 0, 0.7])
        # A standard job ends the wait, and the worker then takes both.
        self.assertEqual(waits(run(bulk + [(0.5, STANDARD, 1.0)])), [0, 0, 0, 0.2, 0])
        # So does the end of another job.
        self.assertEqual(waits(run([(0.0, LIVE, 0.5), *bulk])), [0, 0, 0, 0, 0.2])

    def test_the_first_to_wait_is_the_first_to_wake(self):
        some = Waits()
        numbers = [some.begin(worker, last) for worker, last in (("a", LIVE), ("b", BULK), ("c", STANDARD))]
        self.assertEqual([some.push(lane) for lane in (STANDARD, BULK, LIVE, LIVE, LIVE)], ["b", None, "a", "c", None])
        some.begin("a", BULK)
        # The time of an earlier wait of the worker is over, not that of this one.
        self.assertFalse(some.end("a", numbers[0]))
        self.assertTrue(some.has("a"))


class Workers(unittest.TestCase):
    """Starts, stops and kills."""

    def test_a_start_takes_both_delays(self):
        slow = Fleet(start_delay=(3.0, 3.0), load_delay=(5.0, 5.0))
        done = run([(0.0, LIVE, 1.0)], slow, [(0.0, 0), (2.0, 1)])
        self.assertEqual(waits(done), [10.0])
        self.assertEqual(done.worker_seconds(), 98.0)  # Paid from the order on.

    def test_a_drain_hands_back_what_it_cannot_finish(self):
        done = run([(0.0, LIVE, 10.0), (0.0, LIVE, 2.0)], plan=[(0.0, 1), (1.0, 0), (2.0, 1)])
        long, short = done.tasks
        self.assertEqual((long.handed_back, short.handed_back), (1, 0))
        # 4 s of 10 were made when the grace ended, at 4 s; the second worker makes the rest.
        self.assertEqual((long.wait, long.ended_at, short.ended_at), (0.0, 10.0, 2.0))
        self.assertEqual([worker.ended_at for worker in done.workers], [4.0, None])
        self.assertEqual(done.worker_seconds(), 4.0 + 98.0)

    def test_jobs_of_a_killed_worker_return_after_the_lease_and_run_alone(self):
        done = run([(0.0, LIVE, 10.0), (17.0, LIVE, 1.0)], kills=[(1.0, 0.0)])
        self.assertEqual([task.ended_at for task in done.tasks], [25.0, 26.0])  # 1 + 15 + 9, and what waited for it.
        self.assertEqual(waits(done), [0.0, 8.0])
        self.assertEqual(len(done.workers), 2)

    def test_each_of_two_suspects_runs_alone(self):
        done = run([(0.0, LIVE, 10.0), (0.0, LIVE, 10.0), (40.0, LIVE, 1.0)], kills=[(1.0, 0.0)])
        # Back at 16 s with 9 s each, one after the other; then the worker takes other jobs again.
        self.assertEqual([task.ended_at for task in done.tasks], [25.0, 34.0, 41.0])

    def test_a_warden_empties_itself_for_a_suspect(self):
        done = run([(0.0, LIVE, 10.0), (2.0, LIVE, 20.0), (17.0, LIVE, 1.0), (40.0, LIVE, 1.0)], kills=[(1.0, 0.0)])
        # The suspect is back at 16 s. The worker runs the second job until 22 s and takes no other, although slots are
        # free; then the suspect alone until 31 s, then the third job.
        self.assertEqual(waits(done), [0.0, 0.0, 14.0, 0.0])
        self.assertEqual(done.tasks[0].ended_at, 31.0)

    def test_a_warden_goes_on_when_another_has_taken_the_suspect(self):
        done = run([(0.0, LIVE, 10.0), (2.0, LIVE, 20.0), (19.0, LIVE, 1.0)], kills=[(1.0, 0.0)],
                   plan=[(0.0, 1), (18.0, 2)])
        # The new worker takes the suspect at 18 s, so the one that had to empty itself takes the third job at once.
        self.assertEqual(waits(done), [0.0, 0.0, 0.0])
        self.assertEqual(done.tasks[0].ended_at, 27.0)

    def test_a_notice_drains(self):
        done = run([(0.0, LIVE, 10.0)], kills=[(1.5, 5.0)])
        self.assertEqual((done.tasks[0].handed_back, done.tasks[0].ended_at), (1, 10.0))
        # The wait for a further job ends at 2 s, then the drain of 3 s begins.
        self.assertEqual(done.workers[0].ended_at, 5.0)

    def test_a_notice_that_is_too_short_kills(self):
        done = run([(0.0, LIVE, 10.0)], kills=[(1.5, 3.0)])
        # Death at 4.5 s, when the drain has half a second left. The job returns 15 s later and makes its other 5.5 s.
        self.assertEqual((done.tasks[0].handed_back, done.tasks[0].ended_at), (0, 25.0))
        self.assertEqual(done.workers[0].ended_at, 4.5)

    def test_a_worker_that_waits_for_a_job_notices_its_end_later(self):
        done = run([(10.0, LIVE, 1.0)], plan=[(0.0, 1), (5.4, 0), (9.0, 1)])
        self.assertEqual(done.workers[0].ended_at, 6.0)  # Waits of a second each, since 0 s.
        done = run([(0.0, LIVE, 0.7), (0.0, LIVE, 9.0), (20.0, LIVE, 1.0)], plan=[(0.0, 1), (0.4, 0), (10.0, 1)])
        # The end of a job at 0.7 s ends the wait, too. The other job drains from there for 3 s.
        self.assertEqual((done.workers[0].ended_at, done.tasks[1].handed_back), (3.7, 1))

    def test_idle_workers_go_first(self):
        done = run([(0.0, LIVE, 50.0)], plan=[(0.0, 3), (5.0, 1)])
        self.assertEqual([task.handed_back for task in done.tasks], [0])
        self.assertEqual(sorted(worker.ended_at or 0.0 for worker in done.workers), [0.0, 5.0, 5.0])


class Autoscaler(unittest.TestCase):
    """The manifests' policy on the model."""

    def test_wanted_slots_are_those_of_the_gateway(self):
        model = Model([], Fleet(), 10.0, load("k8s/autoscale/keda/worker.yaml"))
        model.waiting_audio, model.running = [4.0, 60.0, 1200.0], [3, 3, 3]
        for queue, jobs_ in zip(model.queues, (4, 4, 1)):
            queue.extend([None] * jobs_)
        model.on_look()
        # At an unknown rate a slot speaks in real time: 4 / 2, 60 / 30 and 1200 / 600 more, and no more than jobs wait.
        self.assertEqual(list(model.seen.values())[:3], [14.0, 9.0, 4.0])

    def test_jobs_of_a_killed_worker_count_as_running_until_their_lease_is_over(self):
        model = Model([], REAL_TIME, 10.0, plan=[(0.0, 1)])
        model.arrive(Job("a", 0.0, BULK, 10.0))
        model.on_kill(0.0)
        self.assertEqual((model.running, [len(queue) for queue in model.queues]), ([0, 0, 1], [0, 0, 0]))
        model.on_return(model.tasks[0])
        self.assertEqual((model.running, len(model.suspects)), ([0, 0, 0], 1))

    def test_a_push_wakes_within_its_delay_and_a_poll_within_its_interval(self):
        def wait(push):
            scaler = load("k8s/autoscale/keda/worker.yaml", push=push, overrides={"minReplicaCount": 0})
            return Model(jobs((7.0, LIVE, 1.0)), Fleet(metric_age=1.0), 30.0, scaler, 0).run().tasks[0].wait
        self.assertLess(wait(True), 0.25)
        self.assertEqual(wait(False), 3.0)  # Polls at 5 and 10 s.

    def test_equal_seeds_are_equal_runs(self):
        drawn = curve.draw(20.0, 600.0, 3, begin=8 * 3600)
        def once(seed):
            fleet = Fleet(start_delay=(10.0, 30.0))
            done = Model(drawn, fleet, 600.0, load("k8s/autoscale/keda/worker.yaml"), 2, seed=seed, phases=True).run()
            return done.worker_seconds(), waits(done)
        self.assertEqual(once(1), once(1))
        self.assertNotEqual(once(1), once(2))


class Steps(unittest.TestCase):
    """The model in counted steps."""

    def test_it_is_close_to_the_exact_one(self):
        fleet, peak = Fleet(frames_per_second=20.0, start_delay=(20.0, 20.0)), 120.0
        counted = flow.Model(fleet, sizing.scaler(), lambda times: curve.demand(peak, times + 36_000), 900.0, 20).run()
        exact = Model(curve.draw(peak, 900.0, 1, begin=36_000), fleet, 900.0, sizing.scaler(), 20).run()
        self.assertAlmostEqual(counted.worker_seconds / exact.worker_seconds(), 1.0, delta=0.1)
        self.assertAlmostEqual(counted.audio / sum(task.job.audio for task in exact.tasks), 1.0, delta=0.05)

    def test_a_day_adds_up(self):
        drawn = curve.demand(100.0, [0.0, 41_400.0])
        self.assertAlmostEqual(drawn[:, 1].sum(), 100.0, delta=0.1)
        self.assertLess(drawn[:, 0].sum(), 60.0)
        self.assertAlmostEqual(float(curve.classes(0, 16).mean()), 5.0, delta=0.05)


class Oracles(unittest.TestCase):
    """The oracle."""

    def test_one_job_needs_one_worker_for_its_time(self):
        fleet = Fleet(start_delay=(5.0, 5.0))
        found = Oracle(jobs((100.0, LIVE, 10.0)), fleet, 200.0, bins=100).find()
        self.assertEqual(found.bound, 2.0)  # A fifth of a worker for 10 s.
        # 5 s of start and 10 s of speech, in bins of 2 s; no plan is shorter than the start and the job without wait.
        self.assertTrue(13.0 <= found.worker_seconds <= 19.0, found)
        self.assertLessEqual(found.waits[LIVE], 2.0)


class Recordings(unittest.TestCase):
    """The format."""

    GOOD = {"format": 1, "duration_s": 60, "fleet": {
        "slots": 5, "live_reserve_slots": 1, "reserve_slots": 1, "slot_frames_per_second": 12.5, "job_overhead_s": 0,
        "start_delay_s": [1, 2], "load_delay_s": 0.5, "drain_s": 1, "metric_age_s": 2,
        "target_waits_s": {"live": 2, "standard": 30, "bulk": 600}},
        "policy": {"manifest": "k8s/autoscale/keda/worker.yaml", "push": False, "time_scale": 60,
                   "initial_replicas": 1},
        "arrivals": [{"id": "a", "at": 1, "lane": "live", "audio_s": 2}],
        "results": {"jobs": [{"id": "a", "wait_s": 0.1}], "worker_seconds": 60}}

    def test_a_good_one(self):
        run_ = recording.of(self.GOOD)
        self.assertEqual((run_.fleet.start_delay, run_.fleet.load_delay), ((1, 2), (0.5, 0.5)))
        self.assertEqual(run_.scaler().sync, 0.25)

    def test_seen_times_are_those_of_starts_slots_and_calls(self):
        arrivals = [{"id": "a", "at": 1.0, "lane": "live", "audio_s": 2.0},
                    {"id": "handed-back", "at": 1.0, "lane": "bulk", "audio_s": 2.0},
                    {"id": "killed", "at": 1.0, "lane": "standard", "audio_s": 2.0},
                    {"id": "queued", "at": 9.0, "lane": "live", "audio_s": 2.0}]
        seen = [{"id": "a", "wait_s": 0.25, "ended_at": 3.5}, {"id": "handed-back", "wait_s": 0.0, "ended_at": 4.0,
                                                               "claims": 2},
                {"id": "killed", "wait_s": 0.0, "ended_at": 18.0}, {"id": "queued", "wait_s": 1.0, "ended_at": 12.5}]
        results = {"jobs": seen, "worker_seconds": 60, "replicas": [[0.0, 1, 1], [8.0, 1, 0]],
                   "workers": [{"ordered_at": 0.0, "ready_at": 0.0}, {"ordered_at": 5.0, "ready_at": 7.0}]}
        run_ = recording.with_seen_times(recording.of(self.GOOD | {"arrivals": arrivals, "results": results}))
        self.assertEqual(run_.fleet.starts, ((5.0, 2.0),))
        # 0.25 s of the first, 0.5 s of the last. The killed one held its slot again after its lease.
        self.assertEqual(run_.fleet.overheads, ((1.25, 0.25), (10.0, 0.5)))
        # Only the first live job found a free slot, so only its wait is that of a call.
        self.assertEqual(run_.fleet.calls, ((1.25, 0.25),))

    def test_faults_are_named(self):
        for change, named in (({"format": 2}, "format"), ({"duration_s": "x"}, "duration_s"),
                              ({"fleet": self.GOOD["fleet"] | {"slots": 2.5}}, "fleet.slots"),
                              ({"arrivals": [{"id": "a", "at": 1, "lane": "slow", "audio_s": 2}]}, "arrivals.lane"),
                              ({"arrivals": self.GOOD["arrivals"] * 2}, "not unique"),
                              ({"results": {"jobs": [], "worker_seconds": 1}}, "not the jobs")):
            with self.assertRaisesRegex(ValueError, named):
                recording.of(self.GOOD | change)

    def test_quantiles(self):
        self.assertEqual([quantile(list(range(1, 101)), share) for share in (0.5, 0.95, 1.0)], [50, 95, 100])
        self.assertEqual((quantile([7], 0.95), quantile([], 0.95)), (7, 0.0))


class RedisLoad(unittest.TestCase):
    """Shards, with round costs: 100 µs each."""

    OF_JOBS = ("enqueue", "claim", "beat", "finish", "publish_codes", "publish_audio", "read_audio")
    OF_WORKERS = ("idle_claim", "report", "waits", "look", "idle_wait", "workers_read")
    COSTS = {"by_job": dict.fromkeys(OF_JOBS, 100.0), "by_workers": {"1000": dict.fromkeys(OF_WORKERS, 100.0)}}
    # Jobs of 5 s: two beats, so seven calls.
    TRAFFIC = redis_load.Traffic(1_000, 0, 100.0, 5.0, 0.0, 0.0, 0.0)

    def setUp(self):
        patch = mock.patch.object(redis_load, "COSTS", self.COSTS)
        patch.start()
        self.addCleanup(patch.stop)

    def test_parts(self):
        self.assertAlmostEqual(redis_load.divided(self.TRAFFIC), 100 * 7e-4)
        # A look a second, a report and a reading of waits in five.
        self.assertAlmostEqual(redis_load.undivided(self.TRAFFIC), 1_000 * (1 + 0.4) * 1e-4)
        asks = redis_load.Traffic(1_000, 2, 100.0, 5.0, 0.0, 0.0, 0.5)
        more = 500 * 2e-4 + 100 * 2 * 0.5 * 1e-4 + 2 * (2e-4 / 2 + 1e-4)
        self.assertAlmostEqual(redis_load.undivided(asks), 0.14 + more)
        speaks = redis_load.Traffic(0, 0, 0.0, 5.0, 4.0, 8.0, 0.0)
        self.assertAlmostEqual(redis_load.divided(speaks), 10 * 3e-4 + 20 * 1e-4)

    def test_shards_divide_the_work_of_jobs_alone(self):
        self.assertEqual(redis_load.shards_for(self.TRAFFIC, 0.6), 1)
        self.assertEqual(redis_load.shards_for(self.TRAFFIC, 0.16), 4)  # 0.07 / 0.02 = 3.5
        self.assertIsNone(redis_load.shards_for(self.TRAFFIC, 0.14))
        self.assertEqual(redis_load.cells_for(self.TRAFFIC, 0.14), (2, 1))  # Halves: 0.07, and 0.035 beside it.

    def test_fewest_servers(self):
        # 0.07 of jobs and 0.14 of workers. Whole, it takes 0.07 / 0.02 = 3.5: four shards; in halves one each.
        self.assertEqual(redis_load.fewest_servers(self.TRAFFIC, 0.16), (2, 1))
        self.assertEqual(redis_load.fewest_servers(self.TRAFFIC, 0.6), (1, 1))

    def test_where_it_ends(self):
        # 0.07 of jobs and 0.14 of workers for each 1,000.
        self.assertAlmostEqual(redis_load.most_workers(self.TRAFFIC, 1, 0.6), 1_000 * 0.6 / 0.21, delta=1)
        most = 1_000 * 0.6 / (0.14 + 0.07 / 64)
        self.assertAlmostEqual(redis_load.most_workers(self.TRAFFIC, 64, 0.6), most, delta=1)


if __name__ == "__main__":
    unittest.main()
