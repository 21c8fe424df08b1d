"""Records with something unusual in every field."""

from __future__ import annotations

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.authorization.records import Approval, Pending
from gateway.batch.records import Batch, Part
from gateway.federation.records import Federation, Run, Site
from gateway.identity.people import Person, SignIn, Ticket
from gateway.identity.records import Client, FormerCredential, Tenant
from gateway.registry.records import Model, ModelVersion, Release, SealedPayload, Upload
from policies.bundle import SignedBundle, sign_bundle
from tests.sharings import sharing

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))

ACME = Tenant(
    id="acme",
    name="Ärzte “Süd” 🏥 ' -- %s",
    region="eu",
    suspended=True,
    purposes=frozenset({"care", "research"}),
)
APP = Client(
    id="app",
    redirect_uris=("https://app.example/back", "http://127.0.0.1/"),
    tenant="acme",
    name="the app",
    roles=frozenset({"caller", "owner"}),
    scopes=frozenset({"infer"}),
    purposes=frozenset({"care"}),
    default_purpose="care",
    auth_method="client_secret_basic",
    secret_hash=bytes(range(32)),
    jwks={"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA", "n": [1, True, None, {"a": "ü"}]}]},
    token_binding="none",
    disabled=True,
    former=(
        FormerCredential(2**40, bytes(range(1, 33)), None),
        FormerCredential(1, None, {"keys": [{"kty": "OKP", "x": "ü"}]}),
    ),
    not_before=2**40,
)
PAYLOAD = SealedPayload(
    role="graph",
    digest="ab" * 32,
    length=2**40,
    plain_length=2**40 - 16,
    plain_digest="cd" * 32,
    wrapped_key=b"\x00\xff\x00wrapped",
    post_quantum=True,
)
ECG = Model(
    tenant="acme",
    name="ecg",
    personal=True,
    data_class="special",
    sharings=frozenset(
        {
            sharing(
                "acme",
                "ecg",
                "other",
                versions=frozenset({"1.0", "2"}),
                purposes=frozenset({"care"}),
                until=2**40,
            ),
            sharing("acme", "ecg", "third", download=True, accepted=None, accepted_by=""),
        }
    ),
    created=1_790_000_000,
    created_by="app",
)
VERSION = ModelVersion(
    tenant="acme",
    model="ecg",
    version="1.0",
    state="candidate",
    created=1_790_000_000,
    created_by="app",
    manifest=b'{"a":\x00\xff}',
    owner_bundle=b"bundle",
    owner_key_pem=b"pem",
    link=b"link",
    payloads=(PAYLOAD, replace(PAYLOAD, role="weights", post_quantum=False)),
    facts={"opset": "21", "ünï": "cödé"},
    reason="",
    source="federation/r1",
)
RELEASE = Release(
    tenant="acme", model="ecg", version="1.0", previous=None, action="promote", by="app", at=7
)
UPLOAD = Upload(
    id="u1", tenant="acme", client="app", payload=PAYLOAD, created=1_790_000_000, expires=100
)
SITE = Site(tenant="acme", name="north", public_key="ecdsa AAAA", node_id="7", created=5)
TRIAL = Federation(
    tenant="acme",
    name="trial",
    model="ecg",
    sites=("south", "north"),
    task="logistic",
    config='{"rounds": 3}',
    quorum=2,
    deadline_s=60,
    created=5,
    created_by="app",
    calibration=PAYLOAD,
)
RUN = Run(
    id="r1",
    tenant="acme",
    federation="trial",
    version="2.0",
    rounds=3,
    state="running",
    started=5,
    started_by="app",
    purpose="research",
    cursor=2**40,
)
BATCH = Batch(
    id="b1",
    tenant="acme",
    client="app",
    authority='{"ü": 1}',
    model="ecg",
    version="1.0",
    purpose="care",
    format="jsonl",
    recipient="age1" + "q" * 58,
    source=PAYLOAD,
    created=1_790_000_000,
    expires=1_790_600_000,
    length=2**40,
    subject_ref="sub_" + "0" * 32,
    subject_sealed=b"\x00\xff",
    reason="ünusual",
    row=2**40,
    column=-1,
)
PART = Part(
    batch="b1",
    tenant="acme",
    number=0,
    first=2**40,
    rows=256,
    head=90,
    source=PAYLOAD,
    refs=("sub_" + "b" * 32, "sub_" + "a" * 32),
    rules=("screen.trust", "screen.age"),
)
PENDING = Pending(id="e1", tenant="acme", kind="publish", facts={"model": "ecg"}, at=5)
APPROVAL = Approval("a1", "acme", "rotate_key", '{"kind":"log"}', "ann", 5, 9)
BUNDLE = sign_bundle(SignedBundle("acme", 1, None, "app", "// ü\n", 1_790_000_000), KEY)


def next_bundle(bundle: SignedBundle, author: str = "app") -> SignedBundle:
    return sign_bundle(
        replace(bundle, epoch=bundle.epoch + 1, previous=bundle.digest, author=author), KEY
    )


PERSON = Person(
    id="person-" + "0a" * 16,
    tenant="acme",
    roles=frozenset({"owner", "caller"}),
    purposes=frozenset({"care"}),
    default_purpose="care",
    state="active",
    mark=b"\x00mark\xff",
    sealed=PAYLOAD,
    details=b"\x00details\xff",
    password="$argon2id$made-up",
    created=1_700_000_000,
)
SIGN_IN = SignIn(
    id="signin-1",
    kind="browser",
    tenant="acme",
    person=PERSON.id,
    client="",
    scopes=frozenset({"infer"}),
    thumbprint="",
    acr=2,
    amr=frozenset({"hwk", "user"}),
    authenticated=10,
    created=11,
    seen=12,
    expires=1_000,
    secret=b"\x00" * 32,
)
TICKET = Ticket(
    digest=b"\xff" * 32,
    kind="code",
    tenant="acme",
    person=PERSON.id,
    sign_in="signin-1",
    expires=1_000,
    facts={"nonce": "ä'"},
)
