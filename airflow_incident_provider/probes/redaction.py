"""
Secrets out of texts that people will read.

Conservative: it would rather leave a harmless word out than let a credential through, but it knows only what is
written down here. What it removes is replaced by a mark, so that a reader sees that something was there.
"""

from __future__ import annotations

import re

MARK = "[redacted]"

_LONG_NAME = (
    r"(?:api|app|application|access|secret|private)[_-]?key(?:[_-]?id)?|secret|token|passw(?:or)?d|passphrase"
    r"|signature|credentials?|session[_-]?id"
)
_SHORT_NAME = r"(?<![A-Za-z0-9])(?:pass|pwd|sig)"

# (pattern, replacement). Every repetition is bounded or ends at a character that it cannot start from, so that
# hostile text costs time in proportion to its length.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (
            r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)",
            MARK,
        ),
        (
            r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-[a-z-]{0,40}(?:token|key|secret))"
            r"(\"?\s{0,4}:)[^\n]*",
            rf"\1\2 {MARK}",
        ),
        (r"(?i)\b(bearer|basic|token)\s{1,4}[A-Za-z0-9._~+/=-]{16,}", rf"\1 {MARK}"),
        (r"(?i)\b([a-z][a-z0-9+.-]{1,20}://)[^\s/?#]*@", rf"\1{MARK}@"),
        (r"\b(?:xox[a-z]|xapp)-[A-Za-z0-9-]{8,}|\bxoxe\.[A-Za-z0-9.-]{8,}", MARK),
        (r"https://hooks\.slack\.com/(?:services|workflows|triggers)/\S+", MARK),
        (r"\beyJ[A-Za-z0-9_-]{8,2000}\.[A-Za-z0-9_-]{4,4000}(?:\.[A-Za-z0-9_-]*)?", MARK),
        (r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b", MARK),
        (r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,})", MARK),
        (r"\b(?:sk|pk|rk)[-_](?:[a-z]{2,8}[-_]){0,3}[A-Za-z0-9]{20,}", MARK),
        (r"\bAIza[A-Za-z0-9_-]{35}", MARK),
        (
            rf"(?i)((?:{_LONG_NAME}|{_SHORT_NAME})[\"']?\s{{0,4}}[=:]\s{{0,4}})"
            r"(?:\"[^\"\n]{0,500}\"|'[^'\n]{0,500}'|[^\s&;,\"'<>]+)",
            rf"\1{MARK}",
        ),
    )
)


def redact(text: str) -> str:
    """Return the text with whatever looks like a secret replaced by a mark.

    >>> redact("postgres://app:hunter2@db/orders?sslmode=require")
    'postgres://[redacted]@db/orders?sslmode=require'
    """
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
