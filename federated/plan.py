"""What a run is: the gateway's request, checked once, and the events that answer it.

Plans travel from the gateway to the coordinator and on to the ServerApp, events the other way.
"""

from __future__ import annotations

import base64
import io
import math
import zipfile
from typing import Annotated, Final, Literal

import msgspec
import numpy as np

from federated.aggregation import MAX_PARAMETERS, Vector
from federated.errors import PlanInvalid
from federated.task import Standardisation, TrainingSettings

MAX_ROUNDS = 1000
"""Rounds of a run; a longer training is several runs, each published and reviewed."""

MAX_SITES = 256
"""Sites of a run: an event a site and round is kept in memory while the run is known."""

MAX_DEADLINE_S = 24 * 3600.0
"""Seconds that a round may wait for a site."""

MAX_FEATURES = 4096
"""Width of a table; the agreement on standardisation sends twice as many values."""

MAX_PLAN_BYTES = 16 * 1024 * 1024
"""A plan with `initial` parameters, base64: twice `MAX_PARAMETERS` values."""

Name = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9._-]{0,62}\Z")]
RunId = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
Number = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]

EventType = Literal[
    "run_started",
    "round_started",
    "site_result",
    "site_error",
    "round_aggregated",
    "run_finished",
    "run_failed",
]

TERMINAL: Final[frozenset[str]] = frozenset({"run_finished", "run_failed"})
"""After one of these a run has no more events."""


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the allow-list: the site's name and what the coordinator calls its node."""

    name: Name
    node_id: str


class FixedStandardisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mean and a scale per feature, given with the run instead of being agreed."""

    mean: tuple[Number, ...]
    scale: tuple[Annotated[float, msgspec.Meta(gt=0, le=1e300)], ...]


class LogisticRegression(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the task `logistic-regression`.

    Attributes:
        features: Columns of the table, without the label.
        epochs: Passes over a site's rows in each round.
        learning_rate: Step of the descent.
        l2: Weight of the squared norm of the coefficients.
        standardisation: `federated`, or a fixed mean and scale.
    """

    features: Annotated[int, msgspec.Meta(ge=1, le=MAX_FEATURES)]
    epochs: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20
    learning_rate: Annotated[float, msgspec.Meta(gt=0, le=100)] = 0.5
    l2: Annotated[float, msgspec.Meta(ge=0, le=100)] = 1e-3
    standardisation: Literal["federated"] | FixedStandardisation = "federated"

    @property
    def training(self) -> TrainingSettings:
        """What a site needs to know to train."""
        return TrainingSettings(self.epochs, self.learning_rate, self.l2)

    @property
    def fixed(self) -> Standardisation | None:
        """The given standardisation, or None when it is to be agreed."""
        if isinstance(self.standardisation, str):
            return None
        return Standardisation(
            np.array(self.standardisation.mean, dtype=np.float64),
            np.array(self.standardisation.scale, dtype=np.float64),
        )


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run as the gateway asks for it.

    Attributes:
        sites: The allow-list: nobody else ever receives a task.
        quorum: Sites that must take part in each round.
        deadline_s: Seconds a round waits for its sites.
        initial: Base64 of an npz with `parameters`, shape (features + 1,); None starts at zero.
    """

    tenant: Name
    federation: Name
    run_id: RunId
    sites: Annotated[tuple[Site, ...], msgspec.Meta(min_length=1, max_length=MAX_SITES)]
    rounds: Annotated[int, msgspec.Meta(ge=1, le=MAX_ROUNDS)]
    quorum: Annotated[int, msgspec.Meta(ge=1, le=MAX_SITES)]
    deadline_s: Annotated[float, msgspec.Meta(gt=0, le=MAX_DEADLINE_S)]
    task: Literal["logistic-regression"]
    config: LogisticRegression
    initial: str | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened in a run.

    Attributes:
        seq: 1, 2, 3 … in the run; 0 before the coordinator has taken the event.
        round: 0 is the agreement on standardisation, 1 … the rounds of training.
        n_examples: Rows behind it: of one site, or of all sites of the round.
        digest: SHA-256 of the packed values that were contributed or aggregated.
        code: Stable code of the reason, for `site_error` and `run_failed`.
    """

    type: EventType
    seq: int = 0
    round: int | None = None
    site: str | None = None
    n_examples: int | None = None
    metrics: dict[str, float] = {}
    digest: str | None = None
    code: str | None = None


def parse_plan(data: bytes) -> Plan:
    """Return the plan in JSON `data`.

    Raises:
        PlanInvalid: It is too large, not a plan, or its parts contradict each other.
    """
    if len(data) > MAX_PLAN_BYTES:
        raise PlanInvalid("the run is too large")
    try:
        plan = msgspec.json.decode(data, type=Plan)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise PlanInvalid from None
    names = {site.name for site in plan.sites}
    nodes = {site.node_id for site in plan.sites}
    if len(names) < len(plan.sites) or len(nodes) < len(plan.sites):
        raise PlanInvalid("a site is named twice")
    if plan.quorum > len(plan.sites):
        raise PlanInvalid("the quorum is larger than the list of sites")
    if not math.isfinite(plan.deadline_s):
        raise PlanInvalid
    fixed = plan.config.fixed
    if fixed is not None and {fixed.mean.size, fixed.scale.size} != {plan.config.features}:
        raise PlanInvalid("the standardisation does not fit `features`")
    initial_parameters(plan)
    return plan


def initial_parameters(plan: Plan) -> Vector:
    """Return the parameters that round 1 starts from, shape (features + 1,).

    Raises:
        PlanInvalid: `initial` is not an npz with finite `parameters` of that shape.
    """
    length = plan.config.features + 1
    if plan.initial is None:
        return np.zeros(length, dtype=np.float64)
    try:
        packed = base64.b64decode(plan.initial, validate=True)
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            member = archive.getinfo("parameters.npy")
            if member.file_size > MAX_PARAMETERS * 8 + 4096:
                raise PlanInvalid("the initial parameters are too large")
            content = archive.read(member)
        values = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
        parameters = np.asarray(values, dtype=np.float64)
    except (PlanInvalid, MemoryError):
        raise
    # Zip and npy readers raise many kinds of error on hostile bytes; all mean the same here.
    except Exception:
        raise PlanInvalid("the initial parameters cannot be read") from None
    if parameters.shape != (length,) or not np.isfinite(parameters).all():
        raise PlanInvalid("the initial parameters do not fit `features`")
    return parameters
