"""The age v1 file format (C2SP age.md): keys, header and payload, without any I/O of its own."""

from gateway.artifacts.age.buffer import SecretBuffer
from gateway.artifacts.age.header import Header, make_header, open_header, parse_header, read_header
from gateway.artifacts.age.payload import (
    PayloadEncryptor,
    decrypt_range,
    decrypt_stream,
    decrypt_to_buffer,
    payload_length,
    plain_length,
)
from gateway.artifacts.age.recipients import (
    HybridIdentity,
    HybridRecipient,
    Identity,
    Recipient,
    X25519Identity,
    X25519Recipient,
    generate_identity,
    parse_identity,
    parse_recipient,
)
from gateway.artifacts.age.stanza import FILE_KEY_LENGTH, Stanza

__all__ = [
    "FILE_KEY_LENGTH",
    "Header",
    "HybridIdentity",
    "HybridRecipient",
    "Identity",
    "PayloadEncryptor",
    "Recipient",
    "SecretBuffer",
    "Stanza",
    "X25519Identity",
    "X25519Recipient",
    "decrypt_range",
    "decrypt_stream",
    "decrypt_to_buffer",
    "generate_identity",
    "make_header",
    "open_header",
    "parse_header",
    "parse_identity",
    "parse_recipient",
    "payload_length",
    "plain_length",
    "read_header",
]
