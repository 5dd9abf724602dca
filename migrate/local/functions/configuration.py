"""What a function is, read from GetFunction, and the environment its workers get: pure. until phase 3

Source: AWS Lambda developer guide, "Using Lambda environment variables", section "Defined runtime environment
variables", and API reference "GetFunction".
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["FunctionConfig", "UnsupportedRuntimeError", "environment", "parse_function"]

_RESERVED_CONCURRENCY_FIELD = "ReservedConcurrentExecutions"


class UnsupportedRuntimeError(Exception):
    """A runtime (or package type) that the local Lambda execution does not run."""

    def __init__(self, runtime: str) -> None:
        self.runtime = runtime
        super().__init__(f"the local AWS runs Python and Node.js functions, not {runtime!r}")


@dataclass(frozen=True)
class FunctionConfig:
    """One version of a function, as the control plane describes it."""

    name: str
    arn: str
    """Without qualifier."""
    version: str
    runtime: str
    handler: str
    timeout_s: float
    memory_mb: int
    code_sha256: str
    """Base64, as in CodeSha256."""
    layers: tuple[str, ...]
    variables: Mapping[str, str]
    log_group: str
    log_format: str
    """`Text` or `JSON`."""
    application_log_level: str | None
    dead_letter_arn: str | None
    reserved_concurrency: int | None
    fingerprint: str
    """Changes with everything that needs new workers; not with the reserved concurrency."""

    @property
    def code_key(self) -> str:
        """CodeSha256 as a file name (hexadecimal)."""
        return base64.b64decode(self.code_sha256).hex()

    @property
    def is_python(self) -> bool:
        return self.runtime.startswith("python3.")

    @property
    def is_node(self) -> bool:
        return self.runtime.startswith("nodejs")


def parse_function(answer: Mapping[str, Any]) -> FunctionConfig:
    """Read GetFunction's answer: {"Configuration": {...}, "Code": {...}, "Concurrency": {...}?}.

    Raises: UnsupportedRuntimeError: a container image, or a runtime other than Python and Node.js.
    """
    config = answer["Configuration"]
    runtime = str(config.get("Runtime") or "")
    if config.get("PackageType") == "Image":
        raise UnsupportedRuntimeError("a container image")
    if not runtime.startswith(("python3.", "nodejs")):
        raise UnsupportedRuntimeError(runtime)
    logging_config = config.get("LoggingConfig") or {}
    arn = ":".join(str(config["FunctionArn"]).split(":")[:7])
    layers = tuple(layer["Arn"] if isinstance(layer, Mapping) else str(layer) for layer in config.get("Layers") or ())
    variables = {str(k): str(v) for k, v in ((config.get("Environment") or {}).get("Variables") or {}).items()}
    facts = {
        "runtime": runtime,
        "handler": str(config.get("Handler") or ""),
        "timeout": float(config.get("Timeout") or 3),
        "memory": int(config.get("MemorySize") or 128),
        "sha": str(config.get("CodeSha256") or ""),
        "layers": layers,
        "variables": variables,
        "version": str(config.get("Version") or "$LATEST"),
        "log_group": str(logging_config.get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"),
        "log_format": str(logging_config.get("LogFormat") or "Text"),
        "log_level": logging_config.get("ApplicationLogLevel"),
        "role": config.get("Role"),
    }
    reserved = (answer.get("Concurrency") or {}).get(_RESERVED_CONCURRENCY_FIELD)
    return FunctionConfig(
        name=str(config["FunctionName"]),
        arn=arn,
        version=facts["version"],
        runtime=runtime,
        handler=facts["handler"],
        timeout_s=facts["timeout"],
        memory_mb=facts["memory"],
        code_sha256=facts["sha"],
        layers=layers,
        variables=variables,
        log_group=facts["log_group"],
        log_format=facts["log_format"],
        application_log_level=facts["log_level"],
        dead_letter_arn=(config.get("DeadLetterConfig") or {}).get("TargetArn") or None,
        reserved_concurrency=None if reserved is None else int(reserved),
        fingerprint=hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest(),
    )


def environment(
    config: FunctionConfig,
    *,
    region: str,
    runtime_api: str,
    log_stream: str,
    task_root: Path,
    runtime_dir: Path,
    layer_dirs: tuple[Path, ...],
    home: Path,
    endpoint_url: str,
    ca_bundle: Path | None,
) -> dict[str, str]:
    """The whole environment of a worker: the function's variables, AWS's, and the local AWS's addresses.

    Reserved variables win over the function's, the others do not (as AWS documents). Not on AWS are
    AWS_ENDPOINT_URL, AWS_CA_BUNDLE and NODE_EXTRA_CA_CERTS, without which no SDK would find the local AWS, and
    HOME, which names a folder that does not exist, so that no SDK reads the user's own ~/.aws.
    """
    account = config.arn.split(":")[4]
    defaults = {
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": ":".join([*(str(d / "bin") for d in layer_dirs), "/usr/local/bin", "/usr/bin", "/bin"]),
        "LD_LIBRARY_PATH": ":".join(
            [
                *("/lib64", "/usr/lib64", str(runtime_dir), str(runtime_dir / "lib"), str(task_root)),
                *(str(task_root / "lib"), *(str(d / "lib") for d in layer_dirs)),
            ]
        ),
        "HOME": str(home),
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
    }
    if ca_bundle is not None:
        defaults |= {"AWS_CA_BUNDLE": str(ca_bundle), "NODE_EXTRA_CA_CERTS": str(ca_bundle)}
    reserved = {
        "_HANDLER": config.handler,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{config.runtime}",
        "AWS_LAMBDA_FUNCTION_NAME": config.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": config.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": config.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        # The account is what MiniStack reads from an access key of twelve digits.
        "AWS_ACCESS_KEY_ID": account,
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_SESSION_TOKEN": "local",
        "LAMBDA_TASK_ROOT": str(task_root),
        "LAMBDA_RUNTIME_DIR": str(runtime_dir),
    }
    if config.log_format == "JSON":
        reserved["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
    if config.application_log_level:
        reserved["AWS_LAMBDA_LOG_LEVEL"] = config.application_log_level
    return defaults | dict(config.variables) | reserved
