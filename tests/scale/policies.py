"""Formulas by which Kubernetes and KEDA choose a number of replicas. Pure: time is a float of seconds, passed in.

Sources:
- HPA: kubernetes/kubernetes, pkg/controller/podautoscaler/horizontal.go and replica_calculator.go (of 1.33 and later,
  whose tolerances have two directions), pkg/apis/autoscaling/v2/defaults.go. The docs name its functions.
- KEDA: kedacore/keda at 8b4f083, pkg/scaling/scale_handler.go and pkg/scaling/executor/scale_scaledobjects.go.

Left out: metrics of pods and of resources, KEDA's fallback, idleReplicaCount, scaling modifiers and pauses. No manifest
of this repository has them for workers.
"""

import math
from dataclasses import dataclass, field

# --horizontal-pod-autoscaler-sync-period, -tolerance and -downscale-stabilization of kube-controller-manager.
SYNC_SECONDS = 15.0
TOLERANCE = 0.1
DOWN_WINDOW_SECONDS = 300.0
# Defaults of a ScaledObject (withtriggers_types.go, scale_executor.go).
POLLING_SECONDS = 30.0
COOLDOWN_SECONDS = 300.0

AVERAGE, VALUE = "AverageValue", "Value"
PODS, PERCENT = "Pods", "Percent"
MAX, MIN, DISABLED = "Max", "Min", "Disabled"


@dataclass(frozen=True)
class Policy:
    """Bound of the change within a period: a number of pods, or a percentage of those at the period's start."""
    kind: str
    value: int
    period: float


@dataclass(frozen=True)
class Rules:
    """Behaviour in one direction."""
    window: float
    policies: tuple[Policy, ...]
    select: str = MAX
    tolerance: float = TOLERANCE


# SetDefaults_HorizontalPodAutoscalerBehavior (defaults.go).
UP_DEFAULT = Rules(0.0, (Policy(PODS, 4, 15.0), Policy(PERCENT, 100, 15.0)))
DOWN_DEFAULT = Rules(DOWN_WINDOW_SECONDS, (Policy(PERCENT, 100, 15.0),))


@dataclass(frozen=True)
class Behaviour:
    """Behaviour in both directions."""
    up: Rules = UP_DEFAULT
    down: Rules = DOWN_DEFAULT

    def tolerates(self, ratio):
        """Tells whether a usage is so close to the target that nothing changes (Tolerances.isWithin)."""
        return 1.0 - self.down.tolerance <= ratio <= 1.0 + self.up.tolerance


@dataclass(frozen=True)
class Target:
    """External metric with its target."""
    name: str
    kind: str
    value: float


def milli(value):
    """Returns thousandths, with which the HPA computes, rounded as KEDA hands a value over (quantityFromFloat64).

    What is no finite number of at least 0 is 0. prometheus-adapter cuts instead: a thousandth less."""
    return int(f"{value:.3f}".replace(".", "")) if math.isfinite(value) and value > 0 else 0


def proposal(target, value, current, ready, behaviour):
    """Returns the replicas that one external metric asks for."""
    usage, wanted = milli(value), milli(target.value)
    if target.kind == AVERAGE:
        return average_proposal(usage, wanted, current, behaviour)
    return value_proposal(usage, wanted, current, ready, behaviour)


def average_proposal(usage, wanted, current, behaviour):
    """Returns ceil(usage / target), unless the change is within the tolerance (GetExternalPerPodMetricReplicas)."""
    if current > 0 and behaviour.tolerates(usage / (wanted * current)):
        return current
    return math.ceil(usage / wanted)


def value_proposal(usage, wanted, current, ready, behaviour):
    """Returns ceil(ratio x ready pods), or of one pod if there is none (getUsageRatioReplicaCount)."""
    ratio = usage / wanted
    if current == 0:
        return math.ceil(ratio)
    if behaviour.tolerates(ratio):
        return current
    return math.ceil(ratio * ready)


def largest_proposal(targets, values, current, ready, behaviour):
    """Returns the largest proposal, or None if missing metrics forbid a change (computeReplicasForMetrics).

    A value is None if its metric could not be read. If all are missing, or some are and the rest would shrink the
    workload, nothing changes."""
    known = [target for target in targets if values[target.name] is not None]
    if not known:
        return None
    largest = max(proposal(target, values[target.name], current, ready, behaviour) for target in known)
    return None if len(known) < len(targets) and largest < current else largest


def changed_within(events, now, period):
    """Returns the sum of changes that are younger than a period (getReplicasChangePerPeriod)."""
    return sum(change for at, change in events if at > now - period)


def up_limit(rules, current, ups, downs, now):
    """Returns the most replicas that the policies allow (calculateScaleUpLimitWithScalingRules)."""
    if rules.select == DISABLED:
        return current
    allowed = []
    for policy in rules.policies:
        start = current - changed_within(ups, now, policy.period) + changed_within(downs, now, policy.period)
        if policy.kind == PODS:
            allowed.append(start + policy.value)
        else:
            allowed.append(math.ceil(start * (1 + policy.value / 100)))
    return max(current, min(allowed) if rules.select == MIN else max(allowed))


def down_limit(rules, current, ups, downs, now):
    """Returns the fewest replicas that the policies allow (calculateScaleDownLimitWithBehaviors)."""
    if rules.select == DISABLED:
        return current
    allowed = []
    for policy in rules.policies:
        start = current - changed_within(ups, now, policy.period) + changed_within(downs, now, policy.period)
        if policy.kind == PODS:
            allowed.append(start - policy.value)
        else:
            allowed.append(int(start * (1 - policy.value / 100)))
    return min(current, max(allowed) if rules.select == MIN else min(allowed))


@dataclass
class Hpa:
    """HorizontalPodAutoscaler of one workload. Call `step` once in each sync period."""
    behaviour: Behaviour
    targets: tuple[Target, ...]
    least: int
    most: int
    recommendations: list[tuple[float, int]] = field(default_factory=list)
    ups: list[tuple[float, int]] = field(default_factory=list)
    downs: list[tuple[float, int]] = field(default_factory=list)

    def step(self, now, current, ready, values):
        """Returns the number of replicas from now on (reconcileAutoscaler).

        `current` is the number that the workload's spec has, `ready` its pods that are ready, `values` the sum of each
        metric by its target's name, None if it is missing."""
        if not self.recommendations:
            self.recommendations.append((now, current))
        desired = self.desired(now, current, ready, values)
        if desired > current:
            self.ups.append((now, desired - current))
        elif desired < current:
            self.downs.append((now, current - desired))
        self.forget(now)
        return desired

    def desired(self, now, current, ready, values):
        """Returns the number after bounds, metrics, stabilisation and policies."""
        if current == 0 and self.least > 0:
            return 0  # Scaled to none by somebody else: the autoscaler is off.
        if current > self.most:
            return self.most
        if current < self.least:
            return self.least
        wanted = largest_proposal(self.targets, values, current, ready, self.behaviour)
        return current if wanted is None else self.limited(now, current, self.stabilised(now, current, wanted))

    def stabilised(self, now, current, wanted):
        """Returns the current number, moved into the wishes of the windows (stabilizeRecommendationWithBehaviors).

        It rises to the lowest wish of the upward window, and sinks to the highest of the downward window."""
        rise = min([wanted, *self.within(now, self.behaviour.up.window)])
        sink = max([wanted, *self.within(now, self.behaviour.down.window)])
        self.recommendations.append((now, wanted))
        return min(max(current, rise), sink)

    def within(self, now, window):
        """Returns the wishes that are younger than a window."""
        return [wish for at, wish in self.recommendations if at > now - window]

    def limited(self, now, current, wanted):
        """Returns a number within the policies and the bounds (convertDesiredReplicasWithBehaviorRate)."""
        if wanted > current:
            return min(wanted, self.most, up_limit(self.behaviour.up, current, self.ups, self.downs, now))
        if wanted < current:
            return max(wanted, self.least, down_limit(self.behaviour.down, current, self.ups, self.downs, now))
        return wanted

    def forget(self, now):
        """Drops what no window and no period reaches."""
        window = max(self.behaviour.up.window, self.behaviour.down.window, SYNC_SECONDS)
        period = max(policy.period for rules in (self.behaviour.up, self.behaviour.down) for policy in rules.policies)
        self.recommendations = [entry for entry in self.recommendations if entry[0] >= now - window]
        self.ups = [entry for entry in self.ups if entry[0] > now - period]
        self.downs = [entry for entry in self.downs if entry[0] > now - period]


@dataclass
class Keda:
    """ScaledObject of one workload: it takes the steps from and to none, its HPA all others.

    Call `poll` once in each polling interval, `pushed` for each message of a push scaler, and `step` once in each sync
    period of the HPA. The HPA asks KEDA's metrics server, which asks the source: a polling interval delays no step of
    the HPA. The HPA's least is at least 1 (GetHPAMinReplicas)."""
    hpa: Hpa
    least: int = 0
    polling: float = POLLING_SECONDS
    cooldown: float = COOLDOWN_SECONDS
    # Metrics that count as active above their threshold, by the names of the targets; others above 0.
    activations: dict[str, float] = field(default_factory=dict)
    last_active: float | None = None

    def __post_init__(self):
        self.hpa.least = max(1, self.least)

    def active(self, values):
        """Tells whether a metric is above its activation threshold, and whether one is missing (getScaledObjectState).

        The threshold itself is not above it."""
        active = any(value is not None and value > self.activations.get(name, 0.0) for name, value in values.items())
        return active, any(value is None for value in values.values())

    def poll(self, now, current, active, error=False):
        """Returns the number of replicas after a poll (RequestScale)."""
        if active:
            return self.activate(now, current, error)
        if error:
            return current  # Without a fallback, a metric that is missing changes nothing.
        if current > 0 and self.least == 0:
            cooled = self.last_active is None or self.last_active + self.cooldown < now
            return 0 if cooled else current
        return max(current, self.least)

    def pushed(self, now, current, active):
        """Returns the number of replicas after a message of a push scaler (startPushScalers).

        True acts at once. False does nothing: polls and the cooldown end the activity."""
        return self.activate(now, current, False) if active else current

    def activate(self, now, current, error):
        """Returns at least the first replicas, and starts the cooldown again (scaleFromZeroOrIdle)."""
        if current == 0:
            self.last_active = now
            return max(1, self.least)
        if not error:
            self.last_active = now
        return current

    def step(self, now, current, ready, values):
        """Returns the number of replicas after a sync of the HPA. At none, the HPA is off."""
        return self.hpa.step(now, current, ready, values)
