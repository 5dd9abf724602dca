"""Every signature is the one that botocore makes. until phase 3 (MG11)"""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

import botocore.auth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate.tables.signing import Signer

# Also ids that are none: what stands in a table is anybody's text.
IDS = st.text(min_size=1).filter(lambda text: text not in {".", ".."})
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)
TOKENS = st.none() | st.text("abcXYZ0123/+=", min_size=1)


def _botocore(url: str, region: str, credentials: Credentials, at: float) -> dict[str, str]:
    request = AWSRequest("GET", url)
    kept = botocore.auth.get_current_datetime
    botocore.auth.get_current_datetime = lambda *_, **__: datetime.fromtimestamp(at, UTC)
    try:
        SigV4Auth(credentials.get_frozen_credentials(), "execute-api", region).add_auth(request)
    finally:
        botocore.auth.get_current_datetime = kept
    return dict(request.headers.items())


@settings(deadline=None)
@given(
    one=IDS.map(lambda text: text.encode("utf-8", "replace").decode()), host=NAMES, stage=NAMES, region=NAMES,
    secret=st.text("abcXYZ/+", min_size=1), token=TOKENS, times=st.lists(st.integers(0, 4_000_000_000), min_size=1),
)  # fmt: skip
def test_as_botocore_signs(
    one: str, host: str, stage: str, region: str, secret: str, token: str | None, times: list[int]
) -> None:
    now = [0.0]
    credentials = Credentials("key", secret, token)
    signer = Signer(host, "execute-api", region, credentials, lambda: now[0])
    path = f"/{stage}/@connections/{quote(one, safe='')}"
    for at in times:
        now[0] = at + 0.75
        ours = signer.headers(path)
        theirs = _botocore(f"https://{host}{path}", region, credentials, now[0])
        assert ours == {"Host": host, **theirs}


def test_keys_that_are_refreshed_are_taken_up() -> None:
    """An hour of a role's credentials is shorter than a sweep."""
    credentials = Credentials("one", "secret")
    signer = Signer("host", "execute-api", "eu-west-1", credentials, lambda: 1e9)
    before = signer.headers("/prod/@connections/a")
    credentials.access_key, credentials.secret_key, credentials.token = "two", "other", "token"
    after = signer.headers("/prod/@connections/a")
    assert after["X-Amz-Security-Token"] == "token"
    assert "Credential=two/" in after["Authorization"]
    fresh = Signer("host", "execute-api", "eu-west-1", credentials, lambda: 1e9).headers("/prod/@connections/a")
    assert (before != after, after) == (True, fresh)
