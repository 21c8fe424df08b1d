"""What answers are made of, as types: `gateway.web.shapes` fills them, the API's document tells.

A type checker holds one to the other. Times are Unix seconds unless a field says otherwise.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import msgspec
from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from audit.event import Event
from gateway.batch.records import BatchState, Format, PartState
from gateway.federation.coordinator import RunEvent
from gateway.federation.records import RunState
from gateway.registry.records import VersionState
from gateway.work.jobs import JobState

T = TypeVar("T")


def _schema_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the schema of a struct with everything that it refers to in place."""
    (root,), parts = msgspec.json.schema_components([kind])
    found = _inlined(root, parts)
    assert isinstance(found, dict)
    return found


def _inlined(node: Any, parts: dict[str, Any]) -> Any:
    if isinstance(node, list | tuple):
        return [_inlined(one, parts) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(parts[node["$ref"].rpartition("/")[2]], parts)
    if (pair := node.get("prefixItems")) and all(one == pair[0] for one in pair):
        # The same, said in a way that readers of older drafts of JSON Schema understand, too.
        node = {key: one for key, one in node.items() if key != "prefixItems"} | {"items": pair[0]}
    return {
        # Python's end of a text is JSON Schema's (ECMA-262) end of a line, of which there is one.
        key: one.replace(r"\Z", "$") if key == "pattern" else _inlined(one, parts)
        for key, one in node.items()
    }


EventMembers = Annotated[dict[str, Any], WithJsonSchema(_schema_of(Event))]
StepMembers = Annotated[dict[str, Any], WithJsonSchema(_schema_of(RunEvent))]
Receipt = Annotated[str, Field(description="Where the record is in the log: `origin/index`.")]
Moment = Annotated[int, Field(description="Unix seconds.")]

NEXT: Final = "Cursor of the page after, for `after`; null when nothing follows."


class Page(TypedDict, Generic[T]):
    """A page of a list."""

    items: list[T]
    next: Annotated[str | None, Field(description=NEXT)]


class ModelAnswer(TypedDict):
    """A model: a name to publish under."""

    name: str
    personal: Annotated[bool, Field(description="Every request must name its data subject.")]
    data_class: str
    shared_with: Annotated[list[str], Field(description="Tenants that accepted an offer of it.")]
    created: Moment
    created_by: str


class PayloadAnswer(TypedDict):
    """A stored ciphertext that can be delivered."""

    role: str
    digest: Annotated[str, Field(description="SHA-256 of the ciphertext, hexadecimal.")]
    length: int
    plain_length: int


class VersionAnswer(TypedDict):
    """A version of a model; of its payloads those that can be delivered."""

    model: str
    version: str
    state: VersionState
    reason: Annotated[str, Field(description="Why it was rejected; empty where it was not.")]
    source: str
    facts: dict[str, str]
    created: Moment
    created_by: str
    payloads: list[PayloadAnswer]


class ReleaseAnswer(TypedDict):
    """One move of the release pointer: what answers by the model's name."""

    model: str
    version: str
    previous: str | None
    action: Literal["promote", "rollback"]
    by: str
    at: Moment
    sequence: int


class ModelWithRelease(ModelAnswer):
    """A model and what is served of it."""

    current: ReleaseAnswer | None


class SignaturesAnswer(TypedDict):
    """Both signatures of a version; only a key that came another way proves anything."""

    release_key: Annotated[str, Field(description="The tenant's public release key, PEM.")]
    successions: Annotated[
        list[str],
        Field(
            description="How release keys followed one another, oldest first: base64 of statements "
            "that both keys signed."
        ),
    ]
    owner_bundle: Annotated[str, Field(description="The owner's DSSE bundle, base64.")]
    owner_key: Annotated[str, Field(description="The owner's public key, PEM.")]
    link: Annotated[str, Field(description="The signed link to the sealed payloads, base64.")]


class UploadAnswer(TypedDict):
    """A sealed upload and what to do with it."""

    id: str
    digest: Annotated[str, Field(description="SHA-256 of what was sent, hexadecimal.")]
    length: int
    use: Literal["artifact", "rows"]
    created: Moment
    expires: Moment
    next: Annotated[str, Field(description="The call that uses it.")]


class JobFault(TypedDict):
    """Why a job failed."""

    code: Annotated[str, Field(description="Stable; a heading of the page of problems.")]
    detail: str
    reason: str
    next: Annotated[str | None, Field(description="What helps, where that is known.")]


class JobAnswer(TypedDict):
    """Long work."""

    id: str
    kind: str
    state: JobState
    stage: str
    done: Annotated[int, Field(description="Stages that are finished, out of `total`.")]
    total: int
    result: Annotated[str | None, Field(description="Address of what came of it.")]
    error: JobFault | None


class JobCount(TypedDict):
    """How many jobs of a tenant are under way, and how many may be."""

    running: int
    limit: int


class BatchProgress(TypedDict):
    """How far a batch job is."""

    chunks: int
    rows: int
    refused: int


class BatchAnswer(TypedDict):
    """A batch job."""

    id: str
    model: str
    version: str
    purpose: str
    format: Format
    recipient: Annotated[str, Field(description="The age public key of the results.")]
    state: BatchState
    reason: str | None
    detail: str | None
    row: Annotated[int | None, Field(description="The row that `reason` is about, from 0.")]
    input: Annotated[int | None, Field(description="The input that `reason` is about, from 0.")]
    rows: int
    chunks: int
    done: BatchProgress
    created: Moment
    expires: Moment


class PartAnswer(TypedDict):
    """A part of a batch job: which rows, and the result if there is one."""

    number: int
    first: int
    rows: int
    refused: int
    state: PartState
    digest: str | None
    length: int


class EntryAnswer(TypedDict):
    """An event of the log, from its verified bytes."""

    index: int
    receipt: Receipt
    event: EventMembers


class RuleAnswer(TypedDict):
    """A policy that had, or could have had, a say."""

    id: str
    effect: Literal["permit", "forbid"]
    text: Annotated[str | None, Field(description="As it was written, for those who may see it.")]
    applies: bool | None
    ways: Annotated[list[list[str]], Field(description="Sets of conditions that would change it.")]


class ReasonAnswer(EntryAnswer):
    """A record of a request, and why it ended so."""

    rules: list[RuleAnswer]
    certain: bool
    notes: list[str]


class WhyAnswer(TypedDict):
    """The records of a request."""

    request_id: str
    records: list[ReasonAnswer]


class LogKey(TypedDict):
    """The verifier keys of a log (C2SP signed-note)."""

    key: str
    former: Annotated[list[str], Field(description="Those that signed before, newest first.")]


class SubjectAnswer(TypedDict):
    """The random reference that stands for a person."""

    ref: str


class DossierAnswer(Page[EntryAnswer]):
    """A page of the events that concern a person."""

    ref: str


class ErasureAnswer(TypedDict):
    """What was recorded of an erasure."""

    ref: str
    intent: Annotated[str, Field(description="Id of the recorded intent.")]
    receipt: Receipt


class BundleAnswer(TypedDict):
    """A policy set in force."""

    tenant: str
    epoch: Annotated[int, Field(description="Grows by one with each set of the tenant.")]
    author: str
    created: Moment
    digest: str


class BundleText(BundleAnswer):
    """A policy set in force, with its text."""

    text: str


class PolicyProblem(TypedDict):
    """What is wrong with a policy."""

    policy: str
    reason: str


class CheckAnswer(TypedDict):
    """What is wrong with a policy set."""

    valid: bool
    problems: list[PolicyProblem]


class ChangeAnswer(TypedDict):
    """What would have to become true of one policy for the request to be allowed."""

    policy: str
    effect: Annotated[
        Literal["permit", "forbid"],
        Field(description="A permit would have to apply, a forbid must not."),
    ]
    conditions: Annotated[list[str], Field(description="All of these; none: another set helps.")]
    attributes: Annotated[list[str], Field(description="What the conditions are about.")]


class DecisionAnswer(TypedDict):
    """How a request would be decided."""

    allowed: bool
    policy_ids: list[str]
    epoch: int
    error: Annotated[str | None, Field(description="Why nothing could be decided.")]
    rules: Annotated[list[RuleAnswer], Field(description="That decide, and the nearest permits.")]
    change: Annotated[list[ChangeAnswer], Field(description="The smallest that would allow it.")]
    notes: list[str]


class FederationAnswer(TypedDict):
    """A federation."""

    name: str
    model: str
    sites: list[str]
    task: str
    config: Annotated[str, Field(description="JSON.")]
    quorum: int
    deadline_s: int
    calibrated: bool
    created: Moment
    created_by: str


class SiteAnswer(TypedDict):
    """A site: a place of a tenant where data stays."""

    name: str
    public_key: str
    node_id: str
    revoked: bool
    created: Moment


class RunAnswer(TypedDict):
    """A run of a federation."""

    id: str
    federation: str
    version: str
    rounds: int
    state: RunState
    reason: str
    started: Moment
    started_by: str
    events: Annotated[int, Field(description="How many steps were recorded.")]


class RunSteps(Page[StepMembers]):
    """A run and its recorded steps."""

    run: RunAnswer
