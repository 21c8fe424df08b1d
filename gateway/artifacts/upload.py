"""Sealing: from bytes that arrive to a payload that is stored, and back into memory.

The safety argument:

1. Bytes are encrypted as they arrive, before anything is written: no plaintext reaches a disk.
2. Each payload has a fresh file key, wrapped by the tenant's key and bound to the payload's
   digest and to the kind of recipients it may be delivered to.
3. An upload is bounded while it arrives, and must have its declared length; one that ends early,
   fails or is cancelled leaves nothing in the store.
4. Opening checks the digest of the whole payload, as well as every chunk, before any byte of the
   content is handed out.
5. A payload is delivered to post-quantum keys only, or to classical keys only, for all its life:
   one classical wrapping of its file key would undo the others (see `age.header`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Final, Protocol

from gateway.artifacts.age import (
    FILE_KEY_LENGTH,
    PayloadEncryptor,
    SecretBuffer,
    decrypt_to_buffer,
    make_header,
    parse_recipient,
)
from gateway.artifacts.errors import (
    PayloadCorrupt,
    PayloadInvalid,
    RecipientsMixed,
    UploadTooLarge,
    UploadTruncated,
)
from gateway.artifacts.keys import KeyProvider
from gateway.artifacts.store import ArtifactStore

BLOCK_LENGTH: Final = 1 << 20  # what one trip to a worker thread encrypts

Plaintext = bytes | bytearray | memoryview | SecretBuffer


@dataclasses.dataclass(frozen=True, slots=True)
class SealedPayload:
    """What the registry keeps of a stored payload.

    Attributes:
        role: What it is: `graph`, `weights`, `fused` or another.
        digest: SHA-256 of the encrypted payload, hex; also its name in the store.
        length: Of the encrypted payload, bytes.
        plain_length: Of the content, bytes.
        plain_digest: SHA-256 of the content, hex.
        wrapped_key: The file key, wrapped by the tenant's key.
        post_quantum: Which kind of recipients it may be delivered to.
    """

    role: str
    digest: str
    length: int
    plain_length: int
    plain_digest: str
    wrapped_key: bytes
    post_quantum: bool


Rewrap = Callable[[SealedPayload], SealedPayload]
"""Returns a payload with its file key wrapped by the tenant's newest key: itself, if it is so."""


class HoldsWrappedKeys(Protocol):
    """A store that keeps sealed payloads."""

    def rewrap(self, tenant: str, change: Rewrap) -> int:
        """Replace the tenant's sealed payloads by what `change` makes of them.

        Nothing else of a record changes, not even its revision. Each record is changed as a whole
        or not at all; cut off, it is finished by the next call.

        Returns:
            How many records have changed.
        """


class Sealer:
    """Encrypts into a store and opens from it.

    Args:
        keys: Wraps file keys.
        store: Keeps payloads.
        random_bytes: A cryptographic source.
    """

    def __init__(
        self, keys: KeyProvider, store: ArtifactStore, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._keys = keys
        self._store = store
        self._random = random_bytes

    async def stage_stream(
        self,
        tenant: str,
        chunks: AsyncIterator[bytes],
        *,
        limit: int,
        expected_length: int | None = None,
        role: str = "upload",
        post_quantum: bool = False,
    ) -> Sealing:
        """Encrypt what arrives, complete, into the staging area.

        Args:
            tenant: Whose key wraps the file key.
            chunks: The content, in pieces of any size.
            limit: Most bytes of content.
            expected_length: Bytes of content that were declared.
            role: What it is.
            post_quantum: For post-quantum recipients only.

        Returns:
            What is to be committed or discarded.

        Raises:
            UploadTooLarge: More than `limit` or than was declared, arrived or was declared.
            UploadTruncated: Less than was declared, or nothing.
            KeyUnavailable: The tenant's key is disabled, destroyed or unknown.
            StoreError: The store failed.
        """
        if expected_length is not None and expected_length > limit:
            raise UploadTooLarge
        ceiling = limit if expected_length is None else expected_length
        sealing = await asyncio.to_thread(self._begin)
        try:
            async for block in _bounded_blocks(chunks, ceiling):
                await asyncio.to_thread(sealing.feed, block)
            if sealing.plain_length < (expected_length or 1):
                raise UploadTruncated
            await asyncio.to_thread(sealing.finish, tenant, role, post_quantum=post_quantum)
        except BaseException:
            sealing.discard()  # waits for a worker that is still writing, so a cancel is clean
            raise
        return sealing

    def seal_bytes(
        self,
        tenant: str,
        plaintext: Plaintext,
        role: str,
        *,
        post_quantum: bool = False,
        announce: Callable[[SealedPayload], None] | None = None,
    ) -> SealedPayload:
        """Encrypt and store what is in memory. Blocks; durable when it returns.

        Args:
            tenant: Whose key wraps the file key.
            plaintext: The content.
            role: What it is.
            post_quantum: For post-quantum recipients only.
            announce: Told of the payload before it is in the store; when this raises, it never is.

        Raises:
            UploadTruncated: There is nothing to seal.
            KeyUnavailable: The tenant's key is disabled, destroyed or unknown.
            StoreError: The store failed.
        """
        if len(plaintext) == 0:
            raise UploadTruncated
        sealing = self._begin()
        try:
            with memoryview(plaintext) as raw, raw.cast("B") as view:
                for start in range(0, len(view), BLOCK_LENGTH):
                    with view[start : start + BLOCK_LENGTH] as block:
                        sealing.feed(block)
            sealing.finish(tenant, role, post_quantum=post_quantum)
            if announce is not None:
                announce(sealing.payload)
            sealing.commit()
        except BaseException:
            sealing.discard()
            raise
        return sealing.payload

    def open_payload(self, tenant: str, sealed: SealedPayload) -> SecretBuffer:
        """Return the content, verified as a whole. Blocks; the caller wipes the buffer.

        Raises:
            KeyUnavailable: The tenant's key is disabled, destroyed or unknown.
            PayloadAbsent: The store does not have it.
            PayloadCorrupt: What is stored is not what was sealed.
            StoreError: The store failed.
        """
        file_key = self._file_key(tenant, sealed)
        digest = hashlib.sha256()
        try:
            content = decrypt_to_buffer(file_key, self._hashed(sealed, digest), sealed.length)
        except PayloadInvalid as error:
            raise PayloadCorrupt from error
        if digest.hexdigest() != sealed.digest or len(content) != sealed.plain_length:
            content.wipe()
            raise PayloadCorrupt
        return content

    def header_for(self, tenant: str, sealed: SealedPayload, recipients: Sequence[str]) -> bytes:
        """Return an age header that gives the payload to `recipients`.

        The header and the stored payload together are an ordinary age file. Former recipients
        keep what they were given: to take it away, seal the content anew.

        Args:
            tenant: Whose payload it is.
            sealed: The payload.
            recipients: Texts of age public keys, of the payload's one kind.

        Raises:
            RecipientInvalid: A text is no public key, or there are none or too many.
            RecipientsMixed: A key is of the other kind than the payload is delivered to.
            KeyUnavailable: The tenant's key is disabled, destroyed or unknown.
        """
        parsed = [parse_recipient(text) for text in recipients]
        if any(recipient.post_quantum != sealed.post_quantum for recipient in parsed):
            raise RecipientsMixed
        return make_header(self._file_key(tenant, sealed), parsed, self._random)

    def rewrapped(self, tenant: str, sealed: SealedPayload) -> SealedPayload:
        """Return the payload with its file key wrapped by the tenant's newest key.

        The stored ciphertext and the file key stay as they are.

        Raises:
            KeyUnavailable: The tenant's key is disabled, destroyed or unknown.
            KeyUnwrapFailed: The wrapped key is not genuine, or what wrapped it was retired.
        """
        if self._keys.wraps_newest(tenant, sealed.wrapped_key):
            return sealed
        aad = payload_binding(sealed.digest, post_quantum=sealed.post_quantum)
        file_key = self._keys.unwrap(tenant, sealed.wrapped_key, aad)
        fresh = self._keys.wrap(tenant, file_key, aad)
        return dataclasses.replace(sealed, wrapped_key=fresh)

    def remove(self, digest: str) -> None:
        """Delete a payload; does nothing when there is none.

        Raises:
            StoreError: The store failed.
        """
        self._store.delete(digest)

    def _begin(self) -> Sealing:
        return Sealing(self._keys, self._store, self._random)

    def _file_key(self, tenant: str, sealed: SealedPayload) -> bytes:
        aad = payload_binding(sealed.digest, post_quantum=sealed.post_quantum)
        return self._keys.unwrap(tenant, sealed.wrapped_key, aad)

    def _hashed(self, sealed: SealedPayload, digest: hashlib._Hash) -> Iterator[bytes]:
        for chunk in self._store.read(sealed.digest):
            digest.update(chunk)
            yield chunk


class Sealing:
    """One payload being made. Its methods exclude each other; `discard` always works.

    Args:
        keys: Wraps its file key.
        store: Where it is staged, and kept once it is committed.
        random_bytes: A cryptographic source.
    """

    def __init__(
        self, keys: KeyProvider, store: ArtifactStore, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._keys = keys
        self._store = store
        self._file_key = random_bytes(FILE_KEY_LENGTH)
        self._encryptor = PayloadEncryptor(self._file_key, random_bytes)
        self._staged = store.stage()
        self._payload: SealedPayload | None = None
        self._digest = hashlib.sha256()
        self._plain_digest = hashlib.sha256()
        self._length = 0
        self.plain_length = 0
        self._mutex = threading.Lock()

    @property
    def payload(self) -> SealedPayload:
        """What it will be in the store, once it is finished."""
        assert self._payload is not None, "it is finished"
        return self._payload

    def feed(self, block: bytes | bytearray | memoryview) -> None:
        """Encrypt a piece of the content into the staging area."""
        with self._mutex:
            self._plain_digest.update(block)
            self._append(self._encryptor.update(block))
            self.plain_length += len(block)

    def finish(self, tenant: str, role: str, *, post_quantum: bool) -> None:
        """Encrypt the end of it; it is complete, and not in the store yet."""
        with self._mutex:
            self._append(self._encryptor.finish())
            digest = self._digest.hexdigest()
            aad = payload_binding(digest, post_quantum=post_quantum)
            self._payload = SealedPayload(
                role=role,
                digest=digest,
                length=self._length,
                plain_length=self.plain_length,
                plain_digest=self._plain_digest.hexdigest(),
                wrapped_key=self._keys.wrap(tenant, self._file_key, aad),
                post_quantum=post_quantum,
            )

    def commit(self) -> None:
        """Store it under its digest; durable when it returns.

        Raises:
            StoreError: The store failed; nothing of it stays.
        """
        try:
            with self._mutex:
                self._staged.commit(self.payload.digest)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Leave nothing, whatever has been done. Nobody else has a payload of this key."""
        with self._mutex:
            self._staged.discard()
            if self._payload is not None:
                self._store.delete(self._payload.digest)

    def _append(self, ciphertext: bytes) -> None:
        self._digest.update(ciphertext)
        self._staged.write(ciphertext)
        self._length += len(ciphertext)


async def _bounded_blocks(chunks: AsyncIterator[bytes], ceiling: int) -> AsyncIterator[bytearray]:
    """Gather pieces to blocks, and stop as soon as more than `ceiling` bytes came."""
    total = 0
    block = bytearray()
    async for chunk in chunks:
        total += len(chunk)
        if total > ceiling:
            raise UploadTooLarge
        block += chunk
        if len(block) >= BLOCK_LENGTH:
            yield block
            block = bytearray()
    if block:
        yield block


def payload_binding(digest: str, *, post_quantum: bool) -> bytes:
    """What a wrapped file key is bound to, besides tenant and key version."""
    return f"payload/{digest}/{'post-quantum' if post_quantum else 'classical'}".encode()
