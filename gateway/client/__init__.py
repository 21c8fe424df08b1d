"""For applications that call a gateway: tokens for stock clients, proven with each request.

    from gateway.client import SealgateAuth

    with httpx.Client(auth=SealgateAuth.from_profile("app.json")) as client:
        client.post("https://models.example/v2/models/digits/infer", json=body)

Nothing here imports a part of the gateway itself. `gateway.client.triton` and `gateway.client.grpc`
do the same for tritonclient and gRPC; they import those when they are used.
"""

from gateway.client.auth import SealgateAuth
from gateway.client.errors import (
    AddressRefused,
    CertificateRefused,
    ClientFault,
    ProfileInvalid,
    TokenRefused,
)
from gateway.client.profile import Profile, load_profile

__all__ = [
    "AddressRefused",
    "CertificateRefused",
    "ClientFault",
    "Profile",
    "ProfileInvalid",
    "SealgateAuth",
    "TokenRefused",
    "load_profile",
]
