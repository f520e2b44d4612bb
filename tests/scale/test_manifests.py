#!/usr/bin/env python3
"""Tests of manifests.py on the files of k8s/autoscale/."""

import unittest

from manifests import load, query_of
from policies import PERCENT, PODS

KEDA, HPA, BULK = (f"k8s/autoscale/{name}.yaml" for name in ("keda/worker", "hpa/worker", "keda-bulk/worker-bulk"))
WANTED = {"live": 3, "standard": 8, "bulk": 4}


class Manifests(unittest.TestCase):
    """Autoscalers of the repository."""

    def test_keda_and_hpa_say_the_same(self):
        keda, hpa = load(KEDA), load(HPA)
        self.assertEqual(keda.hpa.behaviour, hpa.hpa.behaviour)
        self.assertEqual([(target.kind, target.value) for target in keda.hpa.targets],
                         [(target.kind, target.value) for target in hpa.hpa.targets])
        self.assertEqual((keda.hpa.least, keda.hpa.most), (hpa.hpa.least, hpa.hpa.most))
        self.assertIsNone(hpa.polling)

    def test_values_of_the_queries(self):
        for path in (KEDA, HPA):
            values = list(load(path).values(WANTED, 500.0, 250.0).values())
            # All lanes, standard and bulk, bulk; 500 s at 250 x 0.08 = 20 s of audio a second.
            self.assertEqual(values, [15.0, 12.0, 4.0, 25.0])
            self.assertEqual(list(load(path).values(WANTED, 500.0, 0.0).values())[3], 500.0)
            self.assertEqual(list(load(path).values(None, None, 1.0).values()), [None] * 4)

    def test_a_day_in_fast_time(self):
        scaler = load(KEDA, time_scale=60, push=True, overrides={"minReplicaCount": 0})
        self.assertEqual((scaler.sync, scaler.polling, scaler.keda.cooldown), (0.25, 5 / 60, 10.0))
        self.assertEqual(scaler.hpa.behaviour.down.window, 10.0)
        self.assertEqual([policy.period for policy in scaler.hpa.behaviour.down.policies], [1.0])
        self.assertEqual([target.value for target in scaler.hpa.targets], [4.5, 4.0, 3.0, 10.0])
        self.assertEqual((scaler.least, scaler.hpa.least), (0, 1))

    def test_the_bulk_pool(self):
        scaler = load(BULK)
        self.assertEqual((scaler.least, scaler.hpa.most, scaler.hpa.behaviour.up.window), (0, 50, 60.0))
        self.assertEqual([policy.kind for policy in scaler.hpa.behaviour.up.policies], [PERCENT])
        self.assertEqual([policy.kind for policy in load(KEDA).hpa.behaviour.down.policies], [PODS])
        self.assertEqual(list(scaler.values(WANTED, 0.0, 0.0).values()), [4.0])

    def test_the_first_job_wakes_a_fleet_of_none(self):
        scaler = load(KEDA, overrides={"minReplicaCount": 0}, push=True)
        idle, job = ({"live": live, "standard": 0, "bulk": 0} for live in (0, 1))
        self.assertEqual(scaler.poll(0.0, 0, scaler.values(idle, 0.0, 0.0)), 0)
        self.assertEqual(scaler.poll(5.0, 0, scaler.values(job, 3.0, 0.0)), 1)
        self.assertEqual(scaler.pushed(5.0, 0, True), 1)
        self.assertEqual(load(KEDA, overrides={"minReplicaCount": 0}).pushed(5.0, 0, True), 0)

    def test_other_queries_are_refused(self):
        for text in ("sum(csm_desired_slots)", 'max(csm_desired_slots{lane="dead"})', "max(csm_desired_slots{})"):
            with self.assertRaises(ValueError):
                query_of(text)
        with self.assertRaises(ValueError):
            load("k8s/autoscale/keda/replicas.yaml")
        with self.assertRaises(ValueError):
            load("k8s/autoscale/keda/gateway.yaml")


if __name__ == "__main__":
    unittest.main()
