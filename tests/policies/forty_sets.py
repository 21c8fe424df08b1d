"""Policy sets that are slow, huge, contradictory or self-locking, and some that only look so.

Each is what a person could write by mistake or on purpose. `REFUSED` must not come into force;
`FINE` looks alarming and is acceptable; whatever happens, nobody is held up and nobody locked out.
"""

from __future__ import annotations

from typing import Final

from policies.compiled import starter_text

STARTER: Final = starter_text()


def permit(body: str, name: str = "a") -> str:
    return f'@id("{name}") permit (principal, action, resource) when {{ {body} }};\n'


def forbid(body: str, name: str = "z", action: str = "action") -> str:
    return f'@id("{name}") forbid (principal, {action}, resource) when {{ {body} }};\n'


def many(count: int, body: str) -> str:
    return "".join(permit(body, f"a{number}") for number in range(count))


def chain(names: int) -> str:
    return "principal has " + ".".join(["tenant"] * names)


def _set(member: str, count: int) -> str:
    return "[" + ", ".join(member.format(number) for number in range(count)) + "]"


STEER: Final = 'action == Action::"managePolicy"'
READ: Final = 'action in [Action::"reviewAudit", Action::"exportAudit"]'
IP: Final = 'ip("10.{0}.0.0/16").isInRange(ip("10.0.0.0/8"))'

SLOW: Final = {
    "a chain of 250 names after has": STARTER + permit(chain(250)),
    "a chain with comments between its names": STARTER
    + permit(chain(250).replace(".", " // on\n . ")),
    "chains in every policy": STARTER + many(180, chain(40)),
    "two hundred chains that are each within the bound": STARTER + many(150, chain(16)),
    "stars": STARTER + permit('context.region like "' + "*a" * 1000 + '"'),
    "a long piece between two stars": STARTER
    + permit('context has purpose && context.purpose like "*' + "a" * 2000 + 'b*"'),
    "stars in every policy": STARTER
    + many(150, 'context has purpose && context.purpose like "*aaaaaa*b"'),
    "alternatives in every policy": STARTER
    + many(100, " || ".join(["principal.tenant.suspended"] * 80)),
    "sets in every policy": STARTER + many(150, _set("{0}", 250) + ".contains(3)"),
    "networks in every policy": STARTER + many(150, " || ".join(IP.format(n) for n in range(20))),
    "decimals in every policy": STARTER
    + many(150, " || ".join(f'decimal("{n}.5").lessThan(decimal("1.0"))' for n in range(20))),
}
HUGE: Final = {
    "a comment of 300 KiB": STARTER + "// " + "x" * (300 << 10) + "\n",
    "a thousand policies": STARTER + many(1000, "context.solo"),
    "a set of 280 members": STARTER + permit("[" + ", ".join(["1"] * 280) + "].contains(3)"),
    "brackets": STARTER + permit("(" * 5000 + "true" + ")" * 5000),
    "records within records": STARTER + permit('{"a":' * 500 + "1" + "}" * 500 + ' has "a"'),
    "an unfinished string": STARTER + '@id("a) permit (principal, action, resource);',
    "ifs within ifs": STARTER + permit("if context.solo then true else " * 300 + "false"),
}
WRONG: Final = {
    "a template": STARTER + '@id("a") permit (principal == ?principal, action, resource);',
    "one id twice": STARTER + permit("context.solo") + permit("context.solo"),
    "no id": STARTER + "permit (principal, action, resource);",
    "the platform's id": STARTER + permit("true", "platform-suspended"),
    "an annotation twice": STARTER + '@id("a") @id("b") permit (principal, action, resource);',
    "an id of look-alike letters": STARTER + permit("true", "pol\u0456cy"),
    "an attribute that does not exist": STARTER + permit("principal.department == 1"),
    "an action that does not exist": STARTER
    + '@id("a") permit (principal, action == Action::"managepolicy", resource);',
    "half a surrogate": STARTER + permit('context.region == "\ud800"'),
    "a number that is too large": STARTER + permit("context.epoch < 9223372036854775808"),
    "only a word": "permit",
}
SELF_LOCKING: Final = {
    "nothing": "",
    "only comments": "// later\n",
    "one wrong word for publishing": STARTER.replace('contains("policies")', 'contains("policy")'),
    "one wrong word for reading": STARTER.replace('Action::"reviewAudit"', 'Action::"exportAudit"'),
    "a role that nobody has": STARTER.replace('contains("officer")', 'contains("auditor")'),
    "forbid to all": STARTER + forbid("true"),
    "an overflow in a forbid": STARTER + forbid("context.epoch * 9223372036854775807 > 9"),
    "an overflow at every age of a token": STARTER
    + forbid("context.auth_age + 9223372036854775807 - context.auth_age * 2 < 0")
    + forbid("context.auth_age == 0", "y"),
    "a division of the same by two rules": STARTER
    + forbid("principal is Service", "y", STEER)
    + forbid("principal is User", "z", STEER),
    "forbid and permit of the same": STARTER + forbid('context.scopes.contains("policies")'),
    "only a stranger may": STARTER + forbid('principal != Service::"somebody-else"', action=STEER),
    "only in solo mode": STARTER + forbid("!context.solo", action=STEER),
    "only until something is revoked": STARTER + forbid("context.epoch > 1000", action=STEER),
    "only this year": STARTER + forbid('context.now > datetime("2023-12-31")', action=STEER),
    "only for people": STARTER + forbid("principal is Service", action=READ),
    "only with two factors": STARTER + forbid("context.acr < 2", action=READ),
    "only elsewhere": STARTER + forbid('context.region == "eu"', action=READ),
    "only with another binding": STARTER + forbid('context.binding == "none"', action=STEER),
}
REFUSED: Final = {**SLOW, **HUGE, **WRONG, **SELF_LOCKING}
FINE: Final = {
    "the starter set": STARTER,
    "a comment of 200 KiB": STARTER + "// " + "x" * (200 << 10) + "\n",
    "names of all alphabets in texts": STARTER + permit('context.region == "日本 \\u{1F600} ю"'),
    "fifty policies": STARTER + many(50, "context.solo"),
    "a path of three": STARTER
    + permit("principal has tenant.region.x", "p").replace(
        "principal has tenant.region.x", "principal has tenant.region"
    ),
    "everything to everybody": permit("true"),
    "a network": STARTER + permit(IP.format(1)),
    "an annotation more": STARTER
    + '@id("n") @why("ward 7") '
    + permit("context.solo").split(") ", 1)[1],
    "a time of day": STARTER
    + forbid('context.now.toTime() > duration("23h59m59s999ms")', action=STEER),
    "a purpose of publishing": STARTER
    + '@id("z") forbid (principal, action == Action::"managePolicy", resource)\n'
    'unless { context has purpose && context.purpose == "care" };',
    "an age of tokens": STARTER + forbid("context.auth_age > 120", action=STEER),
}
