"""No secret leaves text of others that is shown: reports, baselines, logs, the dashboard. Pure. until phase 3"""

from __future__ import annotations

import re

__all__ = ["redact", "snippet"]

MARK = "[redacted]"
MAX_SNIPPET = 160

_WORDS = r"(?:access[_-]?|id[_-]?|refresh[_-]?|auth[_-]?|bearer[_-]?)?token|api[_-]?key|x-api-key|secret\w*|passw(?:or)?d|pwd|jwt|auth|authorization|signature|sig|session(?:id)?|credentials?|key"  # noqa: E501
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # JSON web tokens, AWS access keys, keys of well-known services.
    (re.compile(r"\beyJ[\w-]{6,}(?:\.[\w-]*){0,2}"), MARK),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"), MARK),
    (re.compile(r"\b(?:sk|pk|rk|ghp|gho|xox[abp])[-_][\w-]{12,}"), MARK),
    (re.compile(r"(?i)\b(bearer|basic)\s+(?!\$)[\w.+/=~-]{8,}"), rf"\1 {MARK}"),
    # user:password@ in an address.
    (re.compile(r"(://)[^/\s:@'\"`$]+:[^/\s@'\"`$]+@"), rf"\1{MARK}@"),
    # ?token=value, but not ?token=${token}.
    (re.compile(rf"(?i)([?&;](?:{_WORDS})=)(?![$\{{%])[^&\s'\"`#${{]+"), rf"\1{MARK}"),
    # token: "value", "password" = 'value'.
    (re.compile(rf"(?i)(\b(?:{_WORDS})[\"'`]?\s*[:=]\s*)([\"'`])(?!\$)[^\"'`\s$]{{4,}}\2"), rf"\1\2{MARK}\2"),
    # Anything long that is no word and no address.
    (re.compile(r"(?<![\w/+.-])(?=[\w+/=-]*\d)(?=[\w+/=-]*[A-Za-z])[A-Za-z0-9+/=_-]{40,}(?![\w/+.-])"), MARK),
)


def redact(text: str) -> str:
    """The text with what looks like a secret replaced."""
    for pattern, by in _RULES:
        text = pattern.sub(by, text)
    return text


def snippet(text: str) -> str:
    """One line for a report: redacted, white space folded, cut."""
    line = redact(" ".join(text.split()))
    return line if len(line) <= MAX_SNIPPET else line[: MAX_SNIPPET - 1] + "…"
