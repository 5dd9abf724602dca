"""Files that messages refer to: put into S3 by the client itself, within limits that S3 enforces.

A presigned POST carries a policy: this key, this type, at most so many bytes, for so long. S3 refuses whatever
differs (S3 API reference, "POST policy": exact matches and content-length-range). Keys begin with tenant and user,
and are made here only: a message names an upload by the id its sender was given, so nobody can refer to somebody
else's. A participant gets it through a presigned GET, as a download.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection
from dataclasses import dataclass

from sse_service.auth import Principal
from sse_service.errors import ConflictError, InvalidInputError, NotConfiguredError, NotFoundError, TooLargeError
from sse_service.events import check_name, key_part
from sse_service.ports import Attachment, Message, PresignedPost, UploadStore

__all__ = ["Permission", "Uploads"]

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Permission:
    """To upload one file. expires_s: for so long."""

    upload_id: str
    post: PresignedPost
    max_bytes: int
    expires_s: int


class Uploads:
    def __init__(
        self, store: UploadStore | None, *, types: Collection[str], max_bytes: int, expires_s: int, prefix: str
    ) -> None:
        self._store = store
        self._types = frozenset(types)
        self._max_bytes = max_bytes
        self._expires_s = expires_s
        self._prefix = prefix

    async def start(self) -> None:
        if self._store is not None:
            await self._store.start()

    async def close(self) -> None:
        if self._store is not None:
            await self._store.close()

    def _ready(self) -> UploadStore:
        if self._store is None:
            raise NotConfiguredError("uploads are not set up here: the operator has not named SSE_UPLOADS_BUCKET")
        return self._store

    def _key(self, tenant: str, owner: str, upload_id: str) -> str:
        # Quoted, so that no name reaches into another's folder; "." and ".." are names as well.
        parts = (key_part(part).replace(".", "%2E") for part in (tenant, owner))
        return self._prefix + "/".join((*parts, upload_id))

    async def permit(self, principal: Principal, content_type: str, size: int) -> Permission:
        """Permission for one file of that type and of at most `size` bytes (0: of the largest).

        Raises InvalidInputError, TooLargeError, NotConfiguredError, UnavailableError.
        """
        store = self._ready()
        if content_type not in self._types:
            raise InvalidInputError("contentType", f"must be one of {', '.join(sorted(self._types))}")
        if size > self._max_bytes:
            raise TooLargeError("the file", self._max_bytes)
        max_bytes = size or self._max_bytes
        upload_id = uuid.uuid4().hex
        key = self._key(principal.tenant, principal.user, upload_id)
        post = await store.presign_post(key, content_type, max_bytes, self._expires_s)
        return Permission(upload_id, post, max_bytes, self._expires_s)

    async def attach(self, principal: Principal, upload_id: str, name: str) -> Attachment:
        """What `principal` has uploaded, for a message. Raises InvalidInputError, ConflictError (it is not there)."""
        store = self._ready()
        if not _ID.fullmatch(upload_id):
            raise InvalidInputError("attachment.uploadId", "is not an id that this service has given")
        if name:
            check_name("attachment.name", name)
        found = await store.head(self._key(principal.tenant, principal.user, upload_id))
        if found is None:
            raise ConflictError("attachment.uploadId: nothing of yours was uploaded under this id", field="attachment")
        # The policy has seen to it; a bucket that somebody else writes to has not.
        if found.content_type not in self._types or found.size > self._max_bytes:
            raise InvalidInputError("attachment.uploadId", "is not of a type and size that messages may have")
        return Attachment(upload_id, principal.user, found.content_type, found.size, name)

    async def address(self, principal: Principal, message: Message) -> tuple[str, int]:
        """Where a participant gets the attachment of a message, and for how many seconds. Raises NotFoundError."""
        store = self._ready()
        it = message.attachment
        if it is None:
            raise NotFoundError("the message has no attachment")
        key = self._key(principal.tenant, it.owner, it.upload_id)
        return await store.presign_get(key, it.content_type, it.name or it.upload_id, self._expires_s), self._expires_s
