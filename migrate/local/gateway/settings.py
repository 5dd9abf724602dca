"""Settings of the local gateway, until phase 3."""

from dataclasses import dataclass
from pathlib import Path

from sse_service.connections.limits import AWS_LIMITS, ConnectionLimits


@dataclass(frozen=True)
class GatewaySettings:
    """Where the gateway listens, where it reads APIs from, and which limits hold; times in seconds."""

    control_plane_url: str
    region: str
    state_dir: Path
    host: str = "127.0.0.1"
    port: int = 0
    tls_port: int = 0
    certfile: Path | None = None
    keyfile: Path | None = None
    account_id: str = "000000000000"
    limits: ConnectionLimits = AWS_LIMITS
    management_rate: float | None = None
    """@connections requests a second before 429 LimitExceededException; AWS documents no figure. None: no
    limit."""
    report_unclean_close: bool = True
    """Whether a socket that ends without a close frame is seen at once ($disconnect with 1006). False keeps
    the connection in the books, posting to it succeeds and reaches nobody, until it is idle for long enough:
    what a client that vanished from the network looks like on AWS."""
    client_buffer_bytes: int = 1024 * 1024
    """Bytes a client may leave unread before posting to it is answered with 429."""
    close_timeout_s: float = 5.0
    """How long a client may take to answer our close frame."""
    shutdown_s: float = 5.0
    """How long `stop` waits for close frames and `$disconnect` functions."""
    metrics_interval_s: float = 10.0
    access_log: bool = True
