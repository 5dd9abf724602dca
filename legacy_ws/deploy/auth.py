"""Who vouches for tokens: what the authorizer is told, and the user pool that it may need. until phase 3

What the command was given counts first, then what is deployed, then what is made: a secret, or a user pool.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from functools import partial

from legacy_ws.auth_settings import AuthSettings
from legacy_ws.aws import AwsSession
from legacy_ws.deploy import user_pool as user_pool_steps
from legacy_ws.deploy.environment import AUDIENCE, AUTH, CLIENT_ID, ISSUER, JWKS_URL, SECRET, USER_POOL_ID
from legacy_ws.deploy.options import DeployOptions
from legacy_ws.deploy.spec import AppSpec, StackNames
from legacy_ws.deploy.steps import Action, Step
from legacy_ws.errors import ConfigurationError, UsageError

__all__ = ["Auth"]


class Auth:
    """Authorization of one deployment; `steps` come before `variables`.

    Args:
        deployed: what the authorizer has been told so far.
        secret_made: gets a JWT secret that had to be made, once.
    """

    def __init__(
        self,
        session: AwsSession,
        names: StackNames,
        app: AppSpec,
        options: DeployOptions,
        deployed: Mapping[str, str],
        secret_made: Callable[[str], None],
    ) -> None:
        self.user_pool_id = ""
        self.user_pool_client_id: str | None = None
        self._session = session
        self._names = names
        self._app = app
        self._options = options
        self._deployed = deployed
        self._secret_made = secret_made

    def steps(self) -> list[Step]:
        """The stack's own user pool and its client; nothing when tokens are signed by somebody else's."""
        if self._app.auth != "cognito" or self._options.user_pool_id:
            return []
        return [
            Step("user pool", self._names.user_pool, self._ensure_pool),
            Step("user pool client", self._names.user_pool_client, self._ensure_client),
        ]

    def variables(self) -> dict[str, str]:
        """Settings of the authorizer."""
        if self._app.auth == "cognito":
            return self._cognito()
        told = {ISSUER: self._options.jwt_issuer, AUDIENCE: self._options.jwt_audience}
        # Not told is not "no longer demanded"; that is said by an empty one.
        demanded = {name: self._deployed.get(name) if value is None else value for name, value in told.items()}
        return self._key() | {name: value for name, value in demanded.items() if value}

    def _cognito(self) -> dict[str, str]:
        if self._options.user_pool_id:
            self.user_pool_id = self._options.user_pool_id
            self.user_pool_client_id = self._options.user_pool_client_id
            if self.user_pool_client_id is None and self._deployed.get(USER_POOL_ID) == self.user_pool_id:
                self.user_pool_client_id = self._deployed.get(CLIENT_ID)
        variables = {USER_POOL_ID: self.user_pool_id}
        return variables | ({CLIENT_ID: self.user_pool_client_id} if self.user_pool_client_id else {})

    def check(self, note: Callable[[str], None]) -> None:
        """Raises: UsageError: what the authorizer would be told is nothing it could work with."""
        if self._app.auth == "cognito":
            if self._options.user_pool_id:
                user_pool_steps.require_user_pool(
                    self._session.client("cognito-idp"),
                    self._options.user_pool_id,
                    self._options.user_pool_client_id,
                    note,
                )
                _check(self._cognito())
        elif self._options.jwks_url or self._options.jwt_secret or any(map(self._deployed.get, (JWKS_URL, SECRET))):
            _check(self.variables())

    def _key(self) -> dict[str, str]:
        if self._options.jwks_url:
            return {JWKS_URL: self._options.jwks_url}
        if self._options.jwt_secret:
            return {SECRET: self._options.jwt_secret}
        for name in (JWKS_URL, SECRET):
            if self._deployed.get(name):
                return {name: self._deployed[name]}
        made = secrets.token_urlsafe(48)
        self._secret_made(made)
        return {SECRET: made}

    def _ensure_pool(self) -> Action:
        client = self._session.client("cognito-idp")
        somebodys = self._deployed.get(USER_POOL_ID)
        if somebodys and somebodys != user_pool_steps.own_user_pool(client, self._names):
            # An earlier deployment was given this one. It is used, and never touched.
            self.user_pool_id, self.user_pool_client_id = somebodys, self._deployed.get(CLIENT_ID)
            return "unchanged"
        return user_pool_steps.ensure_user_pool(client, self._names, partial(setattr, self, "user_pool_id"))

    def _ensure_client(self) -> Action:
        client = self._session.client("cognito-idp")
        if self.user_pool_id != user_pool_steps.own_user_pool(client, self._names):
            return "unchanged"
        found = partial(setattr, self, "user_pool_client_id")
        return user_pool_steps.ensure_user_pool_client(client, self._names, self.user_pool_id, found)


def _check(variables: Mapping[str, str]) -> None:
    """The authorizer's own check."""
    try:
        AuthSettings.from_env(variables)
    except ConfigurationError as error:
        raise UsageError(error.message, AUTH.get(error.name, error.hint)) from None
