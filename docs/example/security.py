"""Sign-in: bcrypt passwords of ``users``, and signed tokens that expire."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import time
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import bcrypt
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from partman.asgi import by_subdomain, tenant_of
from partman.tables import User, organization_for_subdomain
from partman.tables.user import Role
from partman.tenant import tenant

DOMAIN = os.environ.get("EXAMPLE_DOMAIN", "localhost")
"""Each organization is served at ``<subdomain>.<domain>``."""
LIFETIME = 3600
"""Seconds for which a token is valid."""
_NOBODY = bcrypt.hashpw(b"", bcrypt.gensalt(4)).decode()
"""A hash to compare with where there is no user."""

find_organization = by_subdomain(organization_for_subdomain, DOMAIN)
router = APIRouter()


@dataclass(frozen=True)
class Caller:
    """The user who sends a request."""

    id: UUID
    role: Role


class SignIn(BaseModel):
    """What a user types."""

    email: str
    password: str


class Token(BaseModel):
    """What the client sends with each request, as ``Authorization: Bearer``."""

    token: str


def secret() -> bytes:
    """Return the key of the tokens, the same in each instance. Raises RuntimeError."""
    value = os.environ.get("PARTMAN_SECRET", "")
    if len(value) < 32:
        raise RuntimeError("PARTMAN_SECRET must have 32 characters or more: openssl rand -hex 32")
    return value.encode()


@router.post("/sign-in")
async def sign_in(request: Request, given: SignIn) -> Token:
    """Return a token for a user's address and password."""
    organization_id = await find_organization(request.scope)
    if organization_id is None:
        raise HTTPException(404, "Not found.")
    async with tenant(organization_id):
        user = (
            await User.select(User.id, User.password_hash)
            .where(User.email == given.email, User.is_active.eq(True))
            .first()
        )
    # Outside of the block: bcrypt takes its time, and must not occupy a connection.
    stored = user["password_hash"] if user else _NOBODY
    is_right = await asyncio.to_thread(_is_password, given.password, stored)
    if user is None or not is_right:
        raise HTTPException(401, "Wrong address or password.")
    expires = int(time.time()) + LIFETIME
    return Token(token=_signed([str(organization_id), str(user["id"]), expires]))


async def current_user(
    request: Request,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
) -> Caller:
    """Return the user of a valid token of this organization, if the account is active."""
    content = _verified(given.credentials) if given else None
    if content is not None:
        organization_id, user_id, expires = content
        if organization_id == str(tenant_of(request.scope)) and expires > time.time():
            query = User.select(User.role).where(User.id == UUID(user_id), User.is_active.eq(True))
            if user := await query.first():
                return Caller(UUID(user_id), Role(user["role"]))
    raise HTTPException(401, "Sign in first.", {"WWW-Authenticate": "Bearer"})


async def may_write(user: Annotated[Caller, Depends(current_user)]) -> None:
    """Refuse users who may only look."""
    if user.role is Role.VIEWER:
        raise HTTPException(403, "Viewers may not change anything.")


def _is_password(password: str, stored: str) -> bool:
    try:
        return bcrypt.checkpw(password.encode(), stored.encode())
    except ValueError:  # longer than bcrypt's 72 bytes, or an account without a password
        return False


def _signed(content: list[Any]) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(content).encode())
    return f"{payload.decode()}.{hmac.new(secret(), payload, hashlib.sha256).hexdigest()}"


def _verified(token: str) -> list[Any] | None:
    payload, _, signature = token.rpartition(".")
    expected = hmac.new(secret(), payload.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(signature.encode(), expected.encode()):
        return None
    content: list[Any] = json.loads(base64.urlsafe_b64decode(payload))
    return content
