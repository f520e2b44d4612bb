#!/usr/bin/env python3
"""Tests of policies.py. Each expectation was computed by hand from the formula that it names."""

import unittest

from policies import (AVERAGE, DISABLED, MIN, PERCENT, PODS, VALUE, Behaviour, Hpa, Keda, Policy, Rules, Target, milli,
                      proposal)

SLOTS = Target("slots", AVERAGE, 5)
DRAIN = Target("drain", VALUE, 600)
AT_ONCE = Rules(0.0, (Policy(PODS, 10_000, 15.0),))
DOWN_AT_ONCE = Rules(0.0, (Policy(PERCENT, 100, 15.0),))
FREE = Behaviour(AT_ONCE, DOWN_AT_ONCE)


def hpa(up=AT_ONCE, down=DOWN_AT_ONCE, least=1, most=1000, targets=(SLOTS,)):
    """Returns an autoscaler of one metric, with a target of five a pod unless told otherwise."""
    return Hpa(Behaviour(up, down), targets, least, most)


def steps(scaler, start, wishes, period=15.0):
    """Returns the replicas after each sync; a wish of n is a metric of 5 n, and pods are ready at once."""
    replicas, seen = start, []
    for number, wish in enumerate(wishes):
        replicas = scaler.step(number * period, replicas, replicas, {"slots": wish * 5})
        seen.append(replicas)
    return seen


class Proposals(unittest.TestCase):
    """One metric."""

    def test_average_is_total_over_target_rounded_up(self):
        self.assertEqual(proposal(SLOTS, 26, 2, 2, FREE), 6)  # 26 / 5 = 5.2
        self.assertEqual(proposal(SLOTS, 25, 2, 2, FREE), 5)
        self.assertEqual(proposal(SLOTS, 25, 2, 0, FREE), 5)  # Pods that are not ready count all the same.
        self.assertEqual(proposal(SLOTS, 0, 2, 2, FREE), 0)

    def test_average_within_a_tenth_changes_nothing(self):
        self.assertEqual(proposal(SLOTS, 55, 10, 10, FREE), 10)  # 55 / 50 = 1.1 is still within
        self.assertEqual(proposal(SLOTS, 56, 10, 10, FREE), 12)  # 1.12; ceil(11.2)
        self.assertEqual(proposal(SLOTS, 45, 10, 10, FREE), 10)  # 0.9 is still within
        self.assertEqual(proposal(SLOTS, 44, 10, 10, FREE), 9)  # 0.88; ceil(8.8)

    def test_average_of_no_pods(self):
        self.assertEqual(proposal(SLOTS, 0, 0, 0, FREE), 0)
        self.assertEqual(proposal(SLOTS, 1, 0, 0, FREE), 1)

    def test_value_multiplies_the_ready_pods(self):
        self.assertEqual(proposal(DRAIN, 1500, 4, 4, FREE), 10)  # 2.5 x 4
        self.assertEqual(proposal(DRAIN, 1500, 4, 3, FREE), 8)  # ceil(2.5 x 3 = 7.5): one is not ready
        self.assertEqual(proposal(DRAIN, 660, 4, 3, FREE), 4)  # 1.1 is within, so the current number
        self.assertEqual(proposal(DRAIN, 1500, 0, 0, FREE), 3)  # ceil(2.5)

    def test_tolerance_has_two_directions(self):
        up = Rules(0.0, AT_ONCE.policies, tolerance=0.0)
        down = Rules(0.0, DOWN_AT_ONCE.policies, tolerance=0.5)
        self.assertEqual(proposal(SLOTS, 51, 10, 10, Behaviour(up, down)), 11)  # 1.02; ceil(10.2)
        self.assertEqual(proposal(SLOTS, 25, 10, 10, Behaviour(up, down)), 10)  # 0.5 is within
        self.assertEqual(proposal(SLOTS, 24, 10, 10, Behaviour(up, down)), 5)  # 0.48; ceil(4.8)

    def test_thousandths_count(self):
        self.assertEqual([milli(value) for value in (2.3, 0.0006, 5, 0, -1, float("nan"), float("inf"))],
                         [2300, 1, 5000, 0, 0, 0, 0])
        self.assertEqual(proposal(SLOTS, 10.0006, 1, 1, FREE), 3)  # 10001 / 5000
        self.assertEqual(proposal(SLOTS, 10.0004, 1, 1, FREE), 2)


class Metrics(unittest.TestCase):
    """Several metrics, some of them missing."""

    def setUp(self):
        self.scaler = hpa(targets=(SLOTS, DRAIN))

    def test_the_largest_counts(self):
        self.assertEqual(self.scaler.step(0.0, 4, 4, {"slots": 25, "drain": 1500}), 10)
        self.assertEqual(self.scaler.step(15.0, 10, 10, {"slots": 75, "drain": 0}), 15)

    def test_a_missing_one_forbids_shrinking_alone(self):
        self.assertEqual(self.scaler.step(0.0, 4, 4, {"slots": 5, "drain": None}), 4)
        self.assertEqual(self.scaler.step(15.0, 4, 4, {"slots": 50, "drain": None}), 10)
        self.assertEqual(self.scaler.step(30.0, 10, 10, {"slots": None, "drain": None}), 10)


class Bounds(unittest.TestCase):
    """Least and most."""

    def test_within_bounds(self):
        scaler = hpa(least=2, most=8)
        self.assertEqual(steps(scaler, 4, [20, 1]), [8, 2])

    def test_outside_of_bounds_metrics_do_not_count(self):
        self.assertEqual(hpa(least=3, most=8).step(0.0, 1, 1, {"slots": 40}), 3)
        self.assertEqual(hpa(least=3, most=8).step(0.0, 9, 9, {"slots": 15}), 8)

    def test_none_switches_the_autoscaler_off(self):
        self.assertEqual(hpa(least=1).step(0.0, 0, 0, {"slots": 40}), 0)
        self.assertEqual(hpa(least=0).step(0.0, 0, 0, {"slots": 40}), 8)
        self.assertEqual(hpa(least=0).step(0.0, 1, 1, {"slots": 0}), 0)


class Stabilisation(unittest.TestCase):
    """Windows of wishes."""

    def test_downward_by_the_highest_wish(self):
        down = Rules(60.0, DOWN_AT_ONCE.policies)
        # The first wish, 10 at 0 s, is 60 s old at the fifth sync, which is no longer within. 6 is then the highest.
        self.assertEqual(steps(hpa(down=down), 10, [10, 4, 6, 4, 4, 4, 4]), [10, 10, 10, 10, 6, 6, 4])

    def test_upward_by_the_lowest_wish(self):
        up = Rules(30.0, AT_ONCE.policies)
        # The number of replicas at the first sync counts as a wish: 2 at 0 s. At 30 s it is 30 s old, no longer within.
        self.assertEqual(steps(hpa(up=up), 2, [10, 8, 9, 9, 9]), [2, 2, 8, 9, 9])

    def test_no_window_follows_each_wish(self):
        self.assertEqual(steps(hpa(), 2, [10, 3, 7]), [10, 3, 7])

    def test_a_wish_for_more_may_still_end_below_the_present(self):
        # At 45 s the wish of 20 and the window's highest are above, and nothing sinks.
        down = Rules(60.0, DOWN_AT_ONCE.policies)
        self.assertEqual(steps(hpa(down=down), 10, [10, 4, 4, 20]), [10, 10, 10, 20])


class Policies(unittest.TestCase):
    """Changes within a period."""

    def test_the_larger_of_pods_and_percent(self):
        up = Rules(0.0, (Policy(PERCENT, 100, 15.0), Policy(PODS, 4, 15.0)))
        # From 1: four more; from 5: doubled, and so on.
        self.assertEqual(steps(hpa(up=up), 1, [100] * 5), [5, 10, 20, 40, 80])

    def test_the_smaller_of_pods_and_percent(self):
        up = Rules(0.0, (Policy(PERCENT, 100, 15.0), Policy(PODS, 4, 15.0)), select=MIN)
        self.assertEqual(steps(hpa(up=up), 1, [100] * 5), [2, 4, 8, 12, 16])

    def test_percent_upward_is_rounded_up(self):
        up = Rules(0.0, (Policy(PERCENT, 10, 15.0),))
        self.assertEqual(steps(hpa(up=up), 1, [100] * 3), [2, 3, 4])  # 1.1, 2.2, 3.3

    def test_a_period_bounds_several_syncs(self):
        up = Rules(0.0, (Policy(PODS, 4, 60.0),))
        # At 60 s the change of 0 s is 60 s old, so another four may come.
        self.assertEqual(steps(hpa(up=up), 1, [3, 100, 100, 100, 100]), [3, 5, 5, 5, 7])

    def test_one_pod_down_in_a_minute(self):
        down = Rules(0.0, (Policy(PODS, 1, 60.0),))
        self.assertEqual(steps(hpa(down=down), 5, [1] * 9), [4, 4, 4, 4, 3, 3, 3, 3, 2])

    def test_the_larger_and_the_smaller_way_down(self):
        both = (Policy(PERCENT, 50, 15.0), Policy(PODS, 1, 15.0))
        self.assertEqual(steps(hpa(down=Rules(0.0, both)), 10, [1, 1]), [5, 2])  # 10 / 2, then 5 / 2, cut
        self.assertEqual(steps(hpa(down=Rules(0.0, both, MIN)), 10, [1, 1]), [9, 8])

    def test_a_fifth_down_is_cut(self):
        down = Rules(0.0, (Policy(PERCENT, 20, 60.0),))
        # 9 x 0.8 = 7.2, cut to 7; 60 s later 7 x 0.8 = 5.6, cut to 5.
        self.assertEqual(steps(hpa(down=down), 9, [1] * 5), [7, 7, 7, 7, 5])
        self.assertEqual(steps(hpa(down=down), 1, [0.01]), [1])

    def test_a_change_the_other_way_counts_back(self):
        up = Rules(0.0, (Policy(PODS, 4, 60.0),))
        down = Rules(0.0, (Policy(PODS, 3, 60.0),))
        # Down three within the period, so up may add four to what was there before: 10 - 0 + 3 + 4.
        scaler = hpa(up=up, down=down)
        self.assertEqual(steps(scaler, 10, [1, 100]), [7, 14])

    def test_disabled(self):
        self.assertEqual(steps(hpa(up=Rules(0.0, AT_ONCE.policies, DISABLED)), 3, [9]), [3])
        self.assertEqual(steps(hpa(down=Rules(0.0, DOWN_AT_ONCE.policies, DISABLED)), 3, [1]), [3])

    def test_defaults(self):
        scaler = Hpa(Behaviour(), (SLOTS,), 1, 100)
        self.assertEqual(steps(scaler, 1, [100, 100]), [5, 10])
        # 300 s of the highest wish, then all at once.
        scaler = Hpa(Behaviour(), (SLOTS,), 1, 100)
        self.assertEqual(steps(scaler, 50, [50] + [1] * 20), [50] * 20 + [1])


class Activation(unittest.TestCase):
    """KEDA's part: from none and to none."""

    def keda(self, least=0, **settings):
        """Returns a scaler that polls each 15 s and cools down for 60 s."""
        return Keda(hpa(least=0), least, 15.0, 60.0, **settings)

    def test_a_poll_starts_the_first(self):
        self.assertEqual(self.keda().poll(0.0, 0, True), 1)
        self.assertEqual(self.keda().poll(0.0, 0, False), 0)
        self.assertEqual(self.keda().poll(0.0, 3, True), 3)
        self.assertEqual(self.keda(least=2).poll(0.0, 0, True), 2)

    def test_none_after_the_cooldown_whatever_there_is(self):
        keda = self.keda()
        self.assertEqual(keda.poll(0.0, 5, True), 5)
        self.assertEqual(keda.poll(15.0, 5, False), 5)
        self.assertEqual(keda.poll(60.0, 5, False), 5)  # Exactly the cooldown is not over.
        self.assertEqual(keda.poll(75.0, 5, False), 0)

    def test_activity_begins_the_cooldown_again(self):
        keda = self.keda()
        keda.poll(0.0, 1, True)
        keda.pushed(50.0, 1, True)
        self.assertEqual(keda.poll(75.0, 1, False), 1)
        self.assertEqual(keda.poll(111.0, 1, False), 0)

    def test_what_was_never_active_goes_at_once(self):
        self.assertEqual(self.keda().poll(0.0, 4, False), 0)

    def test_a_least_number_is_kept(self):
        keda = self.keda(least=1)
        self.assertEqual(keda.poll(1000.0, 4, False), 4)
        self.assertEqual(keda.poll(1000.0, 0, False), 1)

    def test_a_push_acts_at_once_and_only_if_true(self):
        keda = self.keda()
        self.assertEqual(keda.pushed(0.1, 0, True), 1)
        self.assertEqual(keda.last_active, 0.1)
        self.assertEqual(keda.pushed(200.0, 1, False), 1)
        self.assertEqual(keda.poll(205.0, 1, False), 0)
        self.assertEqual(keda.pushed(210.0, 0, False), 0)

    def test_above_the_activation_threshold(self):
        keda = self.keda(activations={"slots": 2.0})
        self.assertEqual(keda.active({"slots": 2.0, "other": 0.0}), (False, False))
        self.assertEqual(keda.active({"slots": 2.1, "other": 0.0}), (True, False))
        self.assertEqual(keda.active({"slots": 0.0, "other": 0.1}), (True, False))
        self.assertEqual(keda.active({"slots": 0.0, "other": None}), (False, True))

    def test_a_missing_metric_neither_shrinks_nor_wakes(self):
        keda = self.keda()
        keda.poll(0.0, 3, True)
        self.assertEqual(keda.poll(1000.0, 3, False, error=True), 3)
        self.assertEqual(keda.poll(1000.0, 0, False, error=True), 0)
        self.assertEqual(keda.poll(1000.0, 0, True, error=True), 1)

    def test_the_autoscaler_takes_all_other_steps(self):
        keda = self.keda()
        self.assertEqual(keda.step(0.0, 0, 0, {"slots": 50}), 0)
        self.assertEqual(keda.step(15.0, 1, 0, {"slots": 50}), 10)
        self.assertEqual(keda.step(30.0, 10, 10, {"slots": 0}), 1)  # Never below one.


if __name__ == "__main__":
    unittest.main()
