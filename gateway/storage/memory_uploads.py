"""Uploads in memory: for tests and tools, with every promise but durability."""

from __future__ import annotations

import threading
from dataclasses import replace

from gateway.artifacts.upload import Rewrap
from gateway.errors import AlreadyExists
from gateway.registry.records import Upload
from gateway.storage.bounds import check_key, check_record


class MemoryUploadStore:
    """`gateway.registry.ports.UploadStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}

    def add_upload(self, upload: Upload) -> None:
        """See the port."""
        check_key(upload.id, upload.tenant)
        check_record(upload)
        with self._lock:
            if upload.id in self._uploads:
                raise AlreadyExists
            self._uploads[upload.id] = upload

    def rewrap(self, tenant: str, change: Rewrap) -> int:
        """See the port."""
        count = 0
        with self._lock:
            for key, upload in self._uploads.items():
                fresh = change(upload.payload) if upload.tenant == tenant else upload.payload
                if fresh != upload.payload:
                    self._uploads[key] = replace(upload, payload=fresh)
                    count += 1
        return count

    def get_upload(self, tenant: str, upload_id: str) -> Upload | None:
        """See the port."""
        upload = self._uploads.get(upload_id)
        return upload if upload is not None and upload.tenant == tenant else None

    def list_uploads(self, tenant: str, *, after: str, limit: int) -> list[Upload]:
        """See the port."""
        check_key(tenant, after)
        with self._lock:
            mine = [u for u in self._uploads.values() if u.tenant == tenant and u.id > after]
        return sorted(mine, key=lambda upload: upload.id)[:limit]

    def remove_upload(self, tenant: str, upload_id: str) -> None:
        """See the port."""
        with self._lock:
            upload = self._uploads.get(upload_id)
            if upload is not None and upload.tenant == tenant:
                del self._uploads[upload_id]

    def expired_uploads(self, now: int, *, after: tuple[int, str], limit: int) -> list[Upload]:
        """See the port."""
        with self._lock:
            uploads = {(u.expires, u.id): u for u in self._uploads.values() if u.expires <= now}
        return [uploads[key] for key in sorted(uploads) if key > after][:limit]
