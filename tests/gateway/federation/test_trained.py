from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.artifacts.convenor import convenor_seed
from gateway.federation.trained import convenor_key


def test_a_tenant_always_owns_with_the_same_key_and_no_other_tenant_has_it() -> None:
    release = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    first, again = convenor_key(convenor_seed(release)), convenor_key(convenor_seed(release))
    other = convenor_key(convenor_seed(Ed25519PrivateKey.from_private_bytes(bytes(32))))
    assert first.private_numbers() == again.private_numbers()
    assert first.private_numbers() != other.private_numbers()
    assert isinstance(first.curve, ec.SECP256R1)
