"""
Secrets out of texts that people will read.

Conservative: it would rather leave a harmless word out than let a credential through, but it knows only what is
written down here. What it removes is replaced by a mark, so that a reader sees that something was there.
"""

from __future__ import annotations

import re

MARK = "[redacted]"

_CREDENTIAL_NAME = (
    r"(?:[a-z0-9]+[_.-])*(?:api[_-]?key|app(?:lication)?[_-]?key|access[_-]?key(?:[_-]?id)?|secret(?:[_-]?key)?"
    r"|(?:access|auth|refresh|id|session|bearer|csrf|xsrf)?[_-]?token|passw(?:or)?d|passwd|pwd|pass|signature|sig"
    r"|client[_-]?secret|private[_-]?key|credentials?|session(?:[_-]?id)?)"
)

# (pattern, replacement); the first group, where there is one, is kept.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)", re.S
        ),
        MARK,
    ),
    (
        re.compile(
            r"(?im)^([<>*|\s]*(?:proxy-)?(?:authorization|authenticate|cookie|set-cookie|x-[a-z-]*(?:token|key|secret))"
            r"\s*:)[^\n]*"
        ),
        rf"\1 {MARK}",
    ),
    (re.compile(r"(?i)\b(bearer|basic|token)\s+[A-Za-z0-9._~+/=-]{16,}"), rf"\1 {MARK}"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20}://)[^\s/?#@]*@"), rf"\1{MARK}@"),
    (re.compile(r"\bxox[a-z]-[A-Za-z0-9-]{8,}|\bxapp-[A-Za-z0-9-]{8,}|\bxoxe\.[A-Za-z0-9.-]{8,}"), MARK),
    (re.compile(r"https://hooks\.slack\.com/(?:services|workflows|triggers)/\S+"), MARK),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"), MARK),
    (re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b"), MARK),
    (re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,})"), MARK),
    (re.compile(r"\b(?:sk|pk|rk)[-_](?:[a-z]+[-_])*[A-Za-z0-9_-]{20,}"), MARK),
    (re.compile(r"\bAIza[A-Za-z0-9_-]{35}"), MARK),
    (
        re.compile(rf"(?i)\b({_CREDENTIAL_NAME}[\"']?\s*[=:]\s*)(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s&;,\"'<>]+)"),
        rf"\1{MARK}",
    ),
)


def redact(text: str) -> str:
    """Return the text with whatever looks like a secret replaced by a mark.

    >>> redact("postgres://app:hunter2@db/orders?sslmode=require")
    'postgres://[redacted]@db/orders?sslmode=require'
    """
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
