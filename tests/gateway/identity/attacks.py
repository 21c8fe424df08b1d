"""Tokens that must not be accepted, for an issuer of any maker. Each is one lie, the rest is sound.

From RFC 8725, the JWT literature and the list of vulnerabilities of JOSE libraries.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from joserfc.jwk import ECKey, OKPKey, RSAKey

from .fakes import NOW, b64u, sign
from .makers import KEY, MakerHouse

Attack = Callable[[MakerHouse], bytes]
T = int(NOW)
THIEF = RSAKey.generate_key(2048)
CURVE = ECKey.generate_key("P-256")
CURVE_384 = ECKey.generate_key("P-384")
EDWARDS = OKPKey.generate_key("Ed25519")
DEEP = "[" * 4000


def header(**changes: Any) -> Attack:
    """A header with changes, signed by the issuer's key."""
    return lambda house: house.token(changes)


def claim(**changes: Any) -> Attack:
    """Claims with changes, signed by the issuer's key."""
    return lambda house: house.token(**changes)


def stolen(**changes: Any) -> Attack:
    """A header with changes, signed by somebody else's key."""
    return lambda house: house.signed_by(THIEF, "RS256", changes)


def client(value: Any) -> Attack:
    return lambda house: house.token(**{house.maker.client: value, "client_id": value})


def parts(house: MakerHouse) -> list[str]:
    return house.token().decode().split(".")


def head_of(house: MakerHouse, **changes: Any) -> dict[str, Any]:
    return {"alg": "RS256", "kid": "k1", **house.maker.header, **changes}


def unsigned(alg: str, signature: str = "") -> Attack:
    def made(house: MakerHouse) -> bytes:
        head = b64u(json.dumps(head_of(house, alg=alg)).encode())
        return f"{head}.{parts(house)[1]}.{signature or parts(house)[2]}".encode()

    return made


def without_signature(house: MakerHouse) -> bytes:
    head = b64u(json.dumps(head_of(house, alg="none")).encode())
    return f"{head}.{parts(house)[1]}.".encode()


def keyed(secret: Callable[[], bytes], alg: str, digest: str) -> Attack:
    """The public key, which everybody has, as the secret of an HMAC."""

    def made(house: MakerHouse) -> bytes:
        head = b64u(json.dumps(head_of(house, alg=alg)).encode())
        text = f"{head}.{parts(house)[1]}"
        return f"{text}.{b64u(hmac.digest(secret(), text.encode(), digest))}".encode()

    return made


def pem() -> bytes:
    return KEY.as_pem(private=False)


def der() -> bytes:
    return KEY.public_key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def jwk() -> bytes:
    return json.dumps(KEY.as_dict(private=False)).encode()


def signed_with(key: Any, by: str, **changes: Any) -> Attack:
    return lambda house: house.written(
        {**house.maker.header, "alg": by, **changes}, house.claims(), key, by
    )


def text(claims: Callable[[MakerHouse], str], head: Callable[[MakerHouse], str]) -> Attack:
    return lambda house: sign(head(house), claims(house), KEY, "RS256").encode()


def good_claims(house: MakerHouse) -> str:
    return json.dumps(house.claims())


def good_head(house: MakerHouse) -> str:
    return json.dumps(head_of(house))


def twice(name: str, value: Any) -> Attack:
    """A claim given twice; `client` is that of the maker."""

    def claims(house: MakerHouse) -> str:
        said = house.maker.client if name == "client" else name
        first = json.dumps({said: value, **house.claims()})
        return f"{first[:-1]}, {json.dumps(said)}: {json.dumps(value)}}}"

    return text(claims, good_head)


def tampered(house: MakerHouse) -> bytes:
    first, _, last = parts(house)
    changed = b64u(json.dumps(house.claims(exp=T + 3599, scope="admin")).encode())
    return f"{first}.{changed}.{last}".encode()


def encrypted(house: MakerHouse) -> bytes:
    head = {"alg": "dir", "enc": "A256GCM", "cty": "JWT"}
    return ".".join([b64u(json.dumps(head).encode()), "", "aa", *parts(house)[:2]]).encode()


def pbes2(house: MakerHouse) -> bytes:
    head = {"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2s": "aa", "p2c": 2**31}
    return ".".join([b64u(json.dumps(head).encode()), "aa", "aa", "aa", "aa"]).encode()


def nested(house: MakerHouse) -> bytes:
    return house.written({**house.maker.header, "cty": "JWT"}, house.token().decode())


def serialised(house: MakerHouse) -> bytes:
    first, second, last = parts(house)
    return json.dumps({"protected": first, "payload": second, "signature": last}).encode()


def issuer(change: Callable[[str], Any]) -> Attack:
    return lambda house: house.token(iss=change(house.issuer))


def audience(change: Callable[[str], Any]) -> Attack:
    return lambda house: house.token(
        aud=change(house.trust.audience), scope=house.maker.claims.get("scope", ...)
    )


def nobody(house: MakerHouse) -> bytes:
    """No audience, and no scope that stands for it."""
    return house.token(aud=..., scope="infer")


def of_another_issuer(house: MakerHouse) -> bytes:
    return house.signed_by(THIEF, "RS256", iss=house.issuer + "/other")


def cut(house: MakerHouse) -> bytes:
    return house.token()[:-1]


def fourth(house: MakerHouse) -> bytes:
    return house.token() + b".AA"


def malleable(house: MakerHouse) -> bytes:
    return house.token() + b"="


def identity(house: MakerHouse) -> bytes:
    return house.identity_token()


ATTACKS: Final[dict[str, Attack]] = {
    # Signatures.
    "alg none, no signature": without_signature,
    "alg none, the old signature": unsigned("none"),
    "alg None": unsigned("None", "AA"),
    "alg NONE": unsigned("NONE", "AA"),
    "alg nOnE": unsigned("nOnE", "AA"),
    "alg empty": unsigned("", "AA"),
    "alg absent": header(alg=...),
    "alg a list": header(alg=["RS256"]),
    "alg in small letters": header(alg="rs256"),
    "HS256 with the public key as PEM": keyed(pem, "HS256", "sha256"),
    "HS256 with the public key as DER": keyed(der, "HS256", "sha256"),
    "HS384 with the public key as JWK": keyed(jwk, "HS384", "sha384"),
    "HS512 with an empty secret": keyed(lambda: b"", "HS512", "sha512"),
    "HS256 with a weak secret": keyed(lambda: b"secret", "HS256", "sha256"),
    "RS512 where it is not allowed": lambda house: house.signed_by(KEY, "RS512", {"alg": "RS512"}),
    "RS384 under the name of RS256": lambda house: house.signed_by(KEY, "RS384", {"alg": "RS256"}),
    "somebody else's key": stolen(),
    "somebody else's key, their kid": stolen(kid="thief"),
    "ES256 under an RSA kid": signed_with(CURVE, "ES256"),
    "ES256 named, signed with P-384": signed_with(CURVE_384, "ES384", alg="ES256"),
    "ES384": signed_with(CURVE_384, "ES384"),
    "Ed25519 by a stranger": signed_with(EDWARDS, "Ed25519"),
    "EdDSA by a stranger": signed_with(EDWARDS, "EdDSA"),
    "claims changed after signing": tampered,
    "signature cut": cut,
    "signature padded": malleable,
    "signature of zeros": lambda house: f"{'.'.join(parts(house)[:2])}.{'A' * 342}".encode(),
    # Keys that a token brings along, or points at.
    "jwk of the thief": stolen(jwk=THIEF.as_dict(private=False)),
    "jwk of the thief, no kid": stolen(jwk=THIEF.as_dict(private=False), kid=...),
    "jwk beside a good signature": header(jwk=KEY.as_dict(private=False)),
    "jku": stolen(jku="https://thief.example/keys"),
    "jku beside a good signature": header(jku="https://thief.example/keys"),
    "x5u": stolen(x5u="https://thief.example/certificate"),
    "x5u beside a good signature": header(x5u="http://169.254.169.254/latest"),
    "x5c of the thief": stolen(x5c=["MIIB"]),
    # Key ids.
    "kid that climbs": header(kid="../../../../dev/null"),
    "kid of an injection": header(kid="k1' UNION SELECT 'AA"),
    "kid of a command": header(kid="k1|/bin/true"),
    "kid a number": header(kid=1),
    "kid a list": header(kid=["k1"]),
    "kid an object": header(kid={"k1": 1}),
    "kid of another case": header(kid="K1"),
    "kid with a blank": header(kid="k1 "),
    "kid huge": header(kid="k" * 1500),
    # Other headers.
    "crit known": header(crit=["exp"]),
    "crit unknown": header(crit=["x"], x=1),
    "crit empty": header(crit=[]),
    "b64 off": header(b64=False),
    "zip": header(zip="DEF"),
    "enc": header(enc="A128GCM"),
    "typ of a proof": header(typ="dpop+jwt"),
    "typ of a logout": header(typ="logout+jwt"),
    "typ of a request": header(typ="oauth-authz-req+jwt"),
    "typ of an introspection": header(typ="token-introspection+jwt"),
    "typ a list": header(typ=["JWT"]),
    "typ a number": header(typ=1),
    # Forms.
    "encrypted": encrypted,
    "PBES2 with two thousand million rounds": pbes2,
    "nested": nested,
    "JSON serialisation": serialised,
    "a fourth part": fourth,
    "names twice: aud": twice("aud", "x"),
    "names twice: client": twice("client", "svc"),
    "names twice: exp": twice("exp", T + 60),
    "names twice: iss": twice("iss", "x"),
    "names twice in the header": text(
        good_claims, lambda house: good_head(house)[:-1] + ', "alg": "none"}'
    ),
    "claims a list": text(lambda _: "[]", good_head),
    "claims a text": text(lambda _: '"x"', good_head),
    "claims nested without end": text(lambda _: DEEP, good_head),
    "claims no JSON": text(lambda _: "{", good_head),
    "NaN": text(lambda house: good_claims(house)[:-1] + ', "x": NaN}', good_head),
    "half a character": claim(sub="\ud800"),
    "oversize": claim(pad="x" * 40_000),
    # Times.
    "expired": claim(exp=T - 1, iat=T - 60),
    "expires now": claim(exp=T, iat=T - 60),
    "exp absent": claim(exp=...),
    "exp a text": claim(exp=str(T + 60)),
    "exp true": claim(exp=True),
    "exp null": claim(exp=None),
    "exp huge": claim(exp=10**30),
    "exp negative": claim(exp=-1),
    "exp a list": claim(exp=[T + 60]),
    "exp beyond floats": text(
        lambda house: json.dumps(house.claims(exp=...))[:-1] + ', "exp": 1e400}', good_head
    ),
    "lives for a year": claim(exp=T + 31_536_000),
    "nbf ahead": claim(nbf=T + 3600),
    "nbf a text": claim(nbf="soon"),
    "iat absent": claim(iat=...),
    "iat ahead": claim(iat=T + 3600, exp=T + 7000),
    "iat a text": claim(iat="now"),
    "iat after exp": claim(iat=T + 20, exp=T + 10),
    "auth_time a text": claim(auth_time="yesterday"),
    # Whose, and for whom.
    "iss with a slash": issuer(lambda iss: iss[:-1] if iss.endswith("/") else iss + "/"),
    "iss of another case": issuer(lambda iss: iss.replace("http", "HTTP")),
    "iss of another scheme": issuer(lambda iss: iss.replace("http:", "https:")),
    "iss with a query": issuer(lambda iss: iss + "?"),
    "iss with a blank": issuer(lambda iss: iss + " "),
    "iss a list": issuer(lambda iss: [iss]),
    "iss an object": issuer(lambda iss: {iss: 1}),
    "iss null": issuer(lambda _: None),
    "iss absent": issuer(lambda _: ...),
    "iss of a stranger": issuer(lambda _: "https://thief.example"),
    "iss of the gateway itself": issuer(lambda _: "https://gateway.example"),
    "a path below the issuer": of_another_issuer,
    "aud of somebody else": audience(lambda _: "https://other.example"),
    "aud empty": audience(lambda _: ""),
    "aud an empty list": audience(lambda _: []),
    "aud null": audience(lambda _: None),
    "aud an object": audience(lambda aud: {aud: 1}),
    "aud a list with a number": audience(lambda aud: [aud, 5]),
    "aud nested": audience(lambda aud: [[aud]]),
    "aud with a slash": audience(lambda aud: aud + "/"),
    "aud of another case": audience(lambda aud: aud.swapcase()),
    "aud a part of it": audience(lambda aud: aud[:-1]),
    "aud absent": nobody,
    "an ID token": identity,
    # Who asks.
    "client unknown": client("stranger"),
    "client of a registration here": client("service"),
    "client absent": client(...),
    "client a list": client(["svc"]),
    "client an object": client({"svc": 1}),
    "client null": client(None),
    "client a number": client(0),
    "client of another case": client("SVC"),
    "client with a zero byte": client("svc\x00"),
    "client with a line end": client("svc\n"),
    "client huge": client("svc" * 100),
    "sub a number": claim(sub=5, oid=5),
    "sub a list": claim(sub=["x"], oid=["x"]),
    "sub empty": claim(sub="", oid=""),
    "sub with control characters": claim(sub="a\x1b[2Jb", oid="a\x1b[2Jb"),
    "sub with a line end": claim(sub="a\nb", oid="a\nb"),
    "sub huge": claim(sub="x" * 256, oid="x" * 256),
    "jti a number": claim(jti=5, uti=5),
    "jti with a line end": claim(jti="a\nb", uti="a\nb"),
    # What it may do.
    "scope an object": claim(scope={"infer": 1}, scp={"infer": 1}),
    "scope of numbers": claim(scope=[1], scp=[1]),
    "scope with a quote": claim(scope='gw/a"b', scp=['a"b']),
    "scope without end": claim(scope="gw/x " * 65, scp=["x"] * 65),
    "roles a text": lambda house: house.token(**roles(house, "administrator")),
    "roles an object": lambda house: house.token(**roles(house, {"administrator": True})),
    "roles of numbers": lambda house: house.token(**roles(house, [1])),
    "roles null": lambda house: house.token(**roles(house, None)),
    "cnf of another kind": claim(cnf={"kid": "a"}),
    "cnf with a key": claim(cnf={"jwk": {}}),
    "cnf null": claim(cnf=None),
    "cnf empty": claim(cnf={}),
    "cnf a text": claim(cnf="x"),
}
"""Name → what makes the token. Nothing in here may be accepted, whatever the maker."""


def roles(house: MakerHouse, value: Any) -> dict[str, Any]:
    """The claim of the maker's roles with another value."""
    path = house.trust.profile.roles
    made = value
    for name in reversed(path[1:]):
        made = {name: made}
    return {path[0]: made}
