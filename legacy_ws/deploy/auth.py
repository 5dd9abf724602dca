"""Who vouches for tokens: what the authorizer is told, and the user pool that it may need. until phase 3

What the command was given counts first, then what is deployed, then what is made: a secret, or a user pool.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from functools import partial

from legacy_ws.aws import AwsSession
from legacy_ws.deploy import user_pool as user_pool_steps
from legacy_ws.deploy.environment import CLIENT_ID, JWKS_URL, SECRET, USER_POOL_ID
from legacy_ws.deploy.functions import configuration
from legacy_ws.deploy.options import DeployOptions
from legacy_ws.deploy.spec import AppSpec, StackNames
from legacy_ws.deploy.steps import Action, Step

__all__ = ["Auth"]


class Auth:
    """Authorization of one deployment; `steps` come before `variables`.

    Args:
        secret_made: gets a JWT secret that had to be made, once.
    """

    def __init__(
        self,
        session: AwsSession,
        names: StackNames,
        app: AppSpec,
        options: DeployOptions,
        secret_made: Callable[[str], None],
    ) -> None:
        self.user_pool_id = ""
        self.user_pool_client_id: str | None = None
        self._session = session
        self._names = names
        self._app = app
        self._options = options
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
        optional = {
            "LEGACY_WS_JWT_ISSUER": self._options.jwt_issuer,
            "LEGACY_WS_JWT_AUDIENCE": self._options.jwt_audience,
        }
        return self._key() | {name: value for name, value in optional.items() if value}

    def _cognito(self) -> dict[str, str]:
        if self._options.user_pool_id:
            self.user_pool_id = self._options.user_pool_id
            self.user_pool_client_id = self._options.user_pool_client_id
        variables = {USER_POOL_ID: self.user_pool_id}
        return variables | ({CLIENT_ID: self.user_pool_client_id} if self.user_pool_client_id else {})

    def _key(self) -> dict[str, str]:
        if self._options.jwks_url:
            return {JWKS_URL: self._options.jwks_url}
        if self._options.jwt_secret:
            return {SECRET: self._options.jwt_secret}
        deployed = self._deployed()
        for name in (JWKS_URL, SECRET):
            if deployed.get(name):
                return {name: deployed[name]}
        made = secrets.token_urlsafe(48)
        self._secret_made(made)
        return {SECRET: made}

    def _ensure_pool(self) -> Action:
        client = self._session.client("cognito-idp")
        deployed = self._deployed()
        somebodys = deployed.get(USER_POOL_ID)
        if somebodys and somebodys != user_pool_steps.own_user_pool(client, self._names):
            # An earlier deployment was given this one. It is used, and never touched.
            self.user_pool_id, self.user_pool_client_id = somebodys, deployed.get(CLIENT_ID)
            return "unchanged"
        return user_pool_steps.ensure_user_pool(client, self._names, partial(setattr, self, "user_pool_id"))

    def _ensure_client(self) -> Action:
        client = self._session.client("cognito-idp")
        if self.user_pool_id != user_pool_steps.own_user_pool(client, self._names):
            return "unchanged"
        found = partial(setattr, self, "user_pool_client_id")
        return user_pool_steps.ensure_user_pool_client(client, self._names, self.user_pool_id, found)

    def _deployed(self) -> Mapping[str, str]:
        authorizer = next((one for one in self._app.functions if one.authorizer), None)
        if authorizer is None:
            return {}
        current = configuration(self._session.client("lambda"), self._names.function(authorizer)) or {}
        variables: Mapping[str, str] = (current.get("Environment") or {}).get("Variables", {})
        return variables
