"""Which facts a policy set reads for an action, and decisions remembered under exactly those.

1. `reads_of` takes the attributes from the parsed policies (Cedar's JSON form), over every
   policy whose action scope can match, without regard to short circuits: a superset of what an
   evaluation reads.
2. What it does not understand makes the answer None, "not to be remembered": an attribute of
   anything but a path that starts at principal or resource or context, the whole context, tags,
   a literal entity's place in the hierarchy, and node kinds that do not exist yet.
3. A set that reads the time (`now`, `auth_age`) for an action is not remembered for it.
4. A key is the action, the revocation epoch and the value of every path that is read; a remembered
   decision is returned only for an equal key. A memo belongs to one compiled set and dies with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, Generic, TypeAlias, TypeVar, get_args

from policies.facts import ContextFacts, Facts, PrincipalFacts, ResourceFacts
from policies.rendering import parents

Path: TypeAlias = tuple[str, ...]
"""For instance `("principal", "tenant", "suspended")`."""

TIME: Final = frozenset({("context", "now"), ("context", "auth_age")})

MAX_ENTRIES: Final = 4096
"""Decisions kept for one set. Callers choose purposes and so make entries: the oldest go."""

MAX_FACTS: Final = 1024
"""Principals, and resources, whose part of a key is remembered for one set and action."""

# fmt: off
_EXPRESSIONS: Final = frozenset(
    {
        "==", "!=", "<", "<=", ">", ">=", "&&", "||", "+", "-", "*", "in", "!", "neg", "is",
        "like", "contains", "containsAll", "containsAny", "isEmpty", "if-then-else", "Set",
        "Record", "decimal", "ip", "datetime", "duration", "isIpv4", "isIpv6", "isLoopback",
        "isMulticast", "isInRange", "lessThan", "lessThanOrEqual", "greaterThan",
        "greaterThanOrEqual", "offset", "durationSince", "toDate", "toTime", "toMilliseconds",
        "toSeconds", "toMinutes", "toHours", "toDays",
    }
)
# fmt: on
"""Node kinds of Cedar's JSON expressions that are functions of their operands alone."""

_ENTITIES: Final = frozenset(get_args(Facts))

_CAREFUL: Final = frozenset({"site", "verdict"})
"""Attributes that may be absent or are entities; `tenant` is one too, when a path ends in it."""

_V = TypeVar("_V")


class _NotUnderstood(Exception):
    """The expression reads something that a key cannot hold."""


def reads_of(policies: Mapping[str, Any], action: str, group: str) -> frozenset[Path] | None:
    """Return the paths that the policies read for `action`, or None (claims 2 and 3).

    Args:
        policies: `staticPolicies` of Cedar's JSON form, by policy id.
        action: Name of the action.
        group: Name of the action group that it belongs to.
    """
    found: set[Path] = set()
    try:
        for policy in policies.values():
            if _concerns(policy["action"], frozenset({group, action})):
                _collect_scope(policy["principal"], "principal", found)
                _collect_scope(policy["resource"], "resource", found)
                for condition in policy["conditions"]:
                    _collect(condition["body"], found)
    except (_NotUnderstood, KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return None
    found.discard(("action",))
    if found & TIME or ("context",) in found or any(path[0] == "action" for path in found):
        return None
    return frozenset(found)


def _concerns(scope: Mapping[str, Any], names: frozenset[str]) -> bool:
    if scope["op"] == "All":
        return True
    entities = scope["entities"] if "entities" in scope else [scope["entity"]]
    return any(entity["id"] in names for entity in entities)


def _collect_scope(scope: Mapping[str, Any], variable: str, found: set[Path]) -> None:
    if scope["op"] not in ("All", "==", "in", "is"):
        raise _NotUnderstood
    if scope["op"] != "All":
        found.add((variable,))


def _collect(node: Mapping[str, Any], found: set[Path]) -> None:
    path = _path(node)
    if path is not None:
        found.add(path)
        return
    ((kind, body),) = node.items()
    if kind == "Value":
        return
    if kind not in _EXPRESSIONS:
        raise _NotUnderstood
    if kind in ("in", "is") and _path(body["left"]) is None:
        raise _NotUnderstood
    for operand in _operands(kind, body):
        _collect(operand, found)


def _operands(kind: str, body: Any) -> list[Mapping[str, Any]]:
    if isinstance(body, list):
        return body
    if kind == "Record":
        return list(body.values())
    names = ("left", "right", "arg", "if", "then", "else", "in")
    return [body[name] for name in names if name in body]


def _path(node: Mapping[str, Any]) -> Path | None:
    """Return the path that a node reads, or None when it is not a read.

    Raises:
        _NotUnderstood: It reads an attribute of something that is no path.
    """
    ((kind, body),) = node.items()
    if kind == "Var":
        return (str(body),)
    if kind not in (".", "has"):
        return None
    base = _path(body["left"])
    if base is None:
        raise _NotUnderstood
    return (*base, str(body["attr"]))


class KeyPlan:
    """Reads the key of a decision: equal for two requests that the set cannot tell apart.

    Plain attributes of a root are read by one `attrgetter`, which costs a tenth of reading them one
    by one; entities, and whatever a root of another type lacks, are read with care. What is read of
    a principal or a resource is remembered with it: facts never change, and requests share them.

    Args:
        reads: What the set reads for one action; kept as an attribute.
    """

    def __init__(self, reads: frozenset[Path]) -> None:
        self.reads = reads
        plain = {path for path in reads if len(path) > 1 and not _careful(path)}
        careful = sorted(reads - plain)
        self._principal = _Remembering(_root("principal", plain, careful))
        self._resource = _Remembering(_root("resource", plain, careful))
        self._context = _root("context", plain, careful)

    def key(
        self,
        action: str,
        principal: PrincipalFacts,
        resource: ResourceFacts,
        context: ContextFacts,
    ) -> Hashable:
        """Return the key of a request."""
        return (
            action,
            context.epoch,
            self._principal(principal),
            self._resource(resource),
            self._context(context),
        )


class _Remembering:
    """A reading of facts, remembered for each of the objects that were read last.

    INVARIANT: what is remembered holds its facts, so no other object can have their identity.
    """

    def __init__(self, read: Callable[[Any], Hashable]) -> None:
        self._read = read
        self._known: dict[int, tuple[object, Hashable]] = {}

    def __call__(self, facts: object) -> Hashable:
        known = self._known.get(id(facts))
        if known is not None and known[0] is facts:
            return known[1]
        if len(self._known) >= MAX_FACTS:
            self._known = {}
        read = self._read(facts)
        self._known[id(facts)] = (facts, read)
        return read


def _root(root: str, plain: set[Path], careful: Sequence[Path]) -> Callable[[Any], Hashable]:
    """Return what reads the paths of one root."""
    at_once = _plain(root, plain)
    with_care = [path[1:] for path in careful if path[0] == root]
    if not with_care:
        return at_once
    return lambda facts: (at_once(facts), *[_value(facts, names) for names in with_care])


def _careful(path: Path) -> bool:
    return path[-1] == "tenant" or not _CAREFUL.isdisjoint(path)


def _plain(root: str, paths: set[Path]) -> Callable[[Any], Hashable]:
    """Return what reads all `paths` of one root."""
    names = sorted(path[1:] for path in paths if path[0] == root)
    if not names:
        return lambda _: None
    at_once = attrgetter(*(".".join(name) for name in names))

    def read(facts: Any) -> Hashable:
        try:
            values: Hashable = at_once(facts)
        except AttributeError:
            return ("one by one", *[_value(facts, name) for name in names])
        return values

    return read


def _value(root: Any, attributes: Sequence[str]) -> Hashable:
    value = root
    for name in attributes:
        # A missing attribute (of an optional record, or of another entity type) is a value too.
        value = getattr(value, name, None)
    if type(value) in _ENTITIES:
        return (value.uid, parents(value))
    return value  # type: ignore[no-any-return]


class Memo(Generic[_V]):
    """Remembered values, the least recently used given up first. Safe for threads.

    Attributes:
        hits: Look-ups that found something.
        misses: Look-ups that did not.
    """

    def __init__(self, limit: int = MAX_ENTRIES) -> None:
        self._limit = limit
        self._entries: dict[Hashable, _V] = {}
        self._lock = threading.Lock()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> _V | None:
        """Return what is remembered under `key`, or None."""
        with self._lock:
            value = self._entries.pop(key, None)
            if value is None:
                self.misses += 1
            else:
                self._entries[key] = value
                self.hits += 1
            return value

    def put(self, key: Hashable, value: _V) -> None:
        """Remember `value` under `key`."""
        with self._lock:
            self._entries[key] = value
            if len(self._entries) > self._limit:
                del self._entries[next(iter(self._entries))]
