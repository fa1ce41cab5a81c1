"""
Untrusted text: cleaning, shortening, comparing, hashing, bounding, URL checks and redaction of secrets.

Everything that a monitoring system, a person or a container wrote passes through here before it is compared,
stored or shown. Escaping for Slack is done once, by ``messages``. Nothing here does I/O.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, urlsplit

T = TypeVar("T")

MAX_URL: Final = 2000
"""Characters of a URL, with ``&`` counted as the entity that Slack's markup needs."""

REDACTED: Final = "[redacted]"
"""What a secret is replaced by, so that a reader sees that something was there."""

HOLDS_CREDENTIALS: Final = "holds credentials"

_MAX_ERROR_VALUE = 80
_LONGEST_ERROR_NUMBER = 64
"""Bits: a longer integer is a mistake, and Python refuses to print one of more than 4,300 digits."""

# Control characters other than tab and newline, format characters (soft hyphen, zero-width characters, direction
# overrides, interlinear annotation, musical and tag characters), fillers that have no glyph, and half characters.
# A joiner stays between two characters that are not ASCII (emoji, Persian, Devanagari), and a tag sequence stays
# behind the black flag (England, Scotland, Wales); anywhere else they only disguise text.
_INVISIBLE = re.compile(
    "(?P<kept>(?<=[^\x00-\x7f])[\u200c\u200d](?=[^\x00-\x7f])|(?<=\U0001f3f4)[\U000e0020-\U000e007e]{1,6}\U000e007f)"
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
_LINE_BREAK = re.compile(r"\r\n|[\r\v\f\x85\u2028\u2029]")
_BLANK_LINES = re.compile(r"\n{3,}")
_NOT_IN_URL = re.compile(r"[\s|<>\"\\`]")
"""What Slack's link syntax or a browser reads otherwise than ``urlsplit`` does."""


def without_invisible(text: str) -> str:
    """Return ``text`` without control, format and half characters; tabs and newlines stay."""
    return _INVISIBLE.sub(lambda found: found["kept"] or "", text)


def clean(text: str) -> str:
    """Return ``text`` without invisible characters, with every line break as a newline."""
    return without_invisible(_LINE_BREAK.sub("\n", text))


def one_line(text: str) -> str:
    """Return ``text`` as one line of visible characters, with single spaces and no space at its ends."""
    return " ".join(without_invisible(" ".join(text.split())).split())


def paragraphs(text: str) -> str:
    """Return ``text`` cleaned line by line, with its line breaks kept and at most one blank line in a row."""
    lines = (" ".join(line.split()) for line in clean(text).split("\n"))
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


def shorten(text: str, limit: int) -> str:
    """Return ``text`` if it has at most ``limit`` characters, else its beginning and an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "\u2026"


def for_error(value: object) -> str:
    """Return ``value`` for an error or a warning: clean, short, without secrets or a container's content."""
    if isinstance(value, str):
        return f"'{shorten(redact(one_line(value[: 8 * _MAX_ERROR_VALUE])), _MAX_ERROR_VALUE)}'"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > _LONGEST_ERROR_NUMBER:
        return "a very long number"
    if isinstance(value, dict):
        return f"an object with {len(value)} keys"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return shorten(redact(one_line(str(value))), _MAX_ERROR_VALUE)


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names without repetitions, in their order and first spelling; the comparison ignores case."""
    kept: dict[str, str] = {}
    for name in names:
        kept.setdefault(name.casefold(), name)
    return tuple(kept.values())


def digest(text: str, length: int = 16) -> str:
    """Return the first characters of the SHA-256 of ``text``, in hexadecimal.

    :param length: hexadecimal digits. 16 (64 bits) or more for anything that is compared; fewer only where a
        person reads them, or where a stored key of an earlier version has to be found again.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def digest_of(parts: Iterable[object], length: int = 16) -> str:
    """Return the digest of several values, in which ``("a", "b")`` differs from ``("ab",)``."""
    return digest(json.dumps([str(part) for part in parts]), length)


def encoded_size(value: object) -> int:
    """Return the bytes that ``value`` takes as JSON, with everything beyond ASCII escaped, as Airflow stores it."""
    return len(json.dumps(value))


def shrink_to_fit(value: T, limit: int, *, size: Callable[[T], int], steps: Iterable[Callable[[T], T | None]]) -> T:
    """Return ``value``, made smaller until it measures at most ``limit``.

    :param size: what a value measures.
    :param steps: what is dropped, least important first. A step returns a smaller value, or ``None`` when
        nothing is left to drop; it is repeated while the value is too large.
    """
    measured = size(value)
    for step in steps:
        while measured > limit:
            smaller = step(value)
            if smaller is None:
                break
            value, measured = smaller, size(smaller)
    return value


def url_problem(url: str) -> str | None:
    """Return why ``url`` must not be linked or requested, or ``None`` if it may be.

    A usable URL is http or https, names a host, holds no credentials, no whitespace or invisible character and
    nothing that would end a Slack link, and has at most ``MAX_URL`` characters.
    """
    if len(url) + 4 * url.count("&") > MAX_URL:
        return f"is longer than {MAX_URL} characters"
    if _NOT_IN_URL.search(url) or without_invisible(url) != url:
        return "holds whitespace or a character that does not belong in a URL"
    parts = split_url(url)
    if parts is None or parts.scheme not in {"http", "https"}:
        return "is not an http or https URL"
    if not parts.hostname:
        return "names no host"
    return HOLDS_CREDENTIALS if "@" in parts.netloc else None


def ascii_host(host: str) -> str | None:
    """Return a host in lower case, without a final dot or brackets, an international name as IDNA (UTS 46).

    :returns: ``None`` if it cannot be a host name.
    """
    bare = host.removeprefix("[").removesuffix("]").removesuffix(".")
    if bare.isascii():
        return bare.lower()
    import idna

    try:
        return idna.encode(bare, uts46=True).decode().removesuffix(".").lower()
    except (idna.IDNAError, UnicodeError):
        return None


def split_url(url: str) -> SplitResult | None:
    """Return the parts of ``url``, or ``None`` if it is malformed."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


_NAME = (
    r"(?:(?:api|app|application|access|secret|private|account|sharedaccess|encryption|signing|master|licen[sc]e|auth"
    r"|client)[_ -]?key(?:[_-]?(?:id|data))?|token|passwords|snmp[_ ]community"
    r"|(?:secret|passw(?:or)?d)"
    r"(?:[_-](?!(?:version|count|name|file|path|ref|policy|length|age|reset|expir)[a-z]{0,6}\b)[A-Za-z0-9]{1,20}){0,3}"
    r"|passphrase|signature|credentials?|(?<![A-Za-z0-9])creds|session[_-]?id|sessid"
    r"|(?<![A-Za-z0-9])(?:pass|sig)(?!\W{1,6}\d{1,3}\b)|(?<![A-Za-z0-9])(?:pwd|psk|bind_?pw)"
    r"|(?<![A-Za-z0-9])pw(?![A-Za-z0-9])|rediscli_auth|community[_ ]string"
    r"|passwort|kennwort|mot[_ ]de[_ ]passe|contrase\u00f1a|senha"
    r"|\u043f\u0430\u0440\u043e\u043b\u044c|\u5bc6\u7801|\u30d1\u30b9\u30ef\u30fc\u30c9)"
)
"""Names of secrets, also in German, French, Spanish, Portuguese, Russian, Chinese and Japanese."""
_SECRET_NAME = re.compile(
    rf"(?i)[\w.-]{{0,40}}(?:{_NAME}|(?:routing|integration|service)[_-]?key|authorization|cookie"
    r"|(?<![\w-])(?:x|dd)-[a-z-]{0,40}(?:token|key|secret))"
)
_QUOTE_ENTITY = r"(?:&(?:quot|apos|#0?3[49]|#x2[27]);|\\{1,4}u002[27])"
_QUOTE = rf"(?:\\{{0,4}}[\"'`*]{{1,3}}|{_QUOTE_ENTITY})"
_ASSIGNED = (
    rf"(?:{_QUOTE}\s{{0,4}},?\s{{0,4}}{_QUOTE}?value{_QUOTE}?\s{{0,4}}[:=]\s{{0,4}}"
    rf"|{_QUOTE}?(?:\s{{0,4}}(?:=>|->|\u2192|[=:\uff1a\uff1d]>?|%3[da]|&(?:equals|colon|#0?61|#x3d);|\\{{1,4}}u003[ad])){{1,3}}\s{{0,4}})"
)
"""What stands between a name and its value; also where both are fields, as in ``"name": "token", "value": "x"``."""
_MEANS_NOTHING = (
    r"(?:true|false|null|none|nil|yes|no|undefined|unset|\?|%s|\$\d{1,2}|\*{3,20}|<[a-z_ -]{1,20}>|\[[a-z_ -]{1,20}"
    r"\]|sig(?:term|kill|int|hup|segv|abrt|usr[12]|pipe|quit)|\"\"|'')(?![^\s,;&)\]}\"'<>])"
)
"""Values that say nothing: truth values, nulls, places for a value, masks, and the signals of processes."""
_VALUE = (
    rf"(?!{_MEANS_NOTHING})"
    r"(?:'{3}.{1,500}?'{3}|\"\"\".{1,500}?\"\"\"|`[^`\n]{1,500}`|[|>][+-]?\n[^\n]{1,500}"
    rf"|{_QUOTE_ENTITY}[^&\\\n]{{1,500}}{_QUOTE_ENTITY}"
    r"|(?:[bru]{1,2}(?=[\"']))?(?:\\{0,4}\"[^\"\n]{0,500}\"|'[^'\n]{0,500}')|(?!\[redacted\])\[[^\[\]\n]{1,500}\]"
    r"|(?!\[redacted\])[^\s&;,\"'<>]{0,500}[^\s&;,\"'<>)\]}]"
    r"|\\{0,4}[\"'][^\s\"'\\]{1,500}(?![^\n]{0,500}[\"']))"  # the end of a quoted value was cut off
)
_PREFIXED_FORM = (
    r"\b[a-z][a-z0-9]{1,11}_(?=[A-Za-z0-9]{0,60}[0-9])(?=[A-Za-z0-9]{0,60}[A-Z])(?=[A-Za-z0-9]{0,60}[a-z])"
    r"[A-Za-z0-9]{24,}"
)
"""A short name, an underscore, and what no word looks like: the form of most tokens of today."""
_TOKENS = (
    r"\b(?:xox[a-z]|xapp)-[A-Za-z0-9%+/=_-]{8,}|\bxoxe\.[A-Za-z0-9.-]{8,}",  # Slack
    r"\beyJ[A-Za-z0-9_-]{8,2000}\.[A-Za-z0-9_-]{4,4000}(?:\.[A-Za-z0-9_-]*)?",  # JSON Web Token
    r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b",  # AWS
    r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bgl(?:pat|ptt|dt|rt)-[A-Za-z0-9_-]{16,}",
    r"\b(?:sk|pk|rk)[-_](?:[a-z]{2,8}[-_]){0,3}[A-Za-z0-9]{20,}|\bwhsec_[A-Za-z0-9]{16,}",  # Stripe
    r"\bsk-(?:ant|proj|svcacct|or)-[A-Za-z0-9_-]{20,}",
    r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",  # SendGrid
    r"\bAIza[A-Za-z0-9_-]{35}|\bya29\.[A-Za-z0-9._-]{20,}"  # Google
    r"|\bGOCSPX-[A-Za-z0-9_-]{20,}|\b1//0[A-Za-z0-9_-]{30,}",
    r"\b(?:FwoGZXIvYXdz|IQoJb3JpZ2lu)[A-Za-z0-9+/=]{20,}",  # AWS, sessions
    r"\b[A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{31,34}"  # Azure
    r"|(?<![A-Za-z0-9+/=])(?<!sha512-)[A-Za-z0-9+/]{86}==(?![A-Za-z0-9+/=])",
    r"\bpat-(?:na|eu)[0-9]-[a-f0-9-]{36}",  # HubSpot
    r"\bhv[sbr]\.[A-Za-z0-9_-]{20,}",  # Vault
    r"\bnpm_[A-Za-z0-9]{30,}|\bpypi-[A-Za-z0-9_-]{30,}|\bdckr_pat_[A-Za-z0-9_-]{16,}",
    _PREFIXED_FORM,
    r"\b(?:nfp|sbp|ntn|figd|glc|ops|sntry[su]|pscale_(?:tkn|pw|oauth)|rubygems|fm[12])_[A-Za-z0-9._=-]{16,}"
    r"|\btskey-[a-z]{2,10}-[A-Za-z0-9-]{8,}|\bsq0[a-z]{3}-[A-Za-z0-9_-]{20,}|\bdp\.[a-z]{2,4}\.[A-Za-z0-9]{30,}"
    r"|\bAGE-SECRET-KEY-1[A-Z0-9]{20,}|\bAKCp[A-Za-z0-9]{30,}|\.atlasv1\.[A-Za-z0-9_-]{40,}|\bkey-[a-z0-9]{32}\b",
    r"\beyJrIjoi[A-Za-z0-9_=-]{20,}",  # Grafana, before its tokens had a prefix
    r"\bdop_v1_[a-f0-9]{32,}|\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|\bdapi[a-f0-9]{32}|\blin_api_[A-Za-z0-9]{20,}",
    r"\bPMAK-[A-Za-z0-9-]{30,}|\bATATT[A-Za-z0-9_=-]{30,}|\bglsa_[A-Za-z0-9_]{20,}|\bNRAK-[A-Z0-9]{20,}",
    r"\b(?:bot)?[0-9]{8,10}:AA[A-Za-z0-9_-]{32,35}",  # Telegram
    r"https://hooks\.slack\.com/(?:services|workflows|triggers)/(?!\[redacted)\S+",
)
"""Tokens that are known by their form."""

_AWS_ID = r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
_AWS_KEY = (
    r"(?<![A-Za-z0-9/+=])(?=[A-Za-z0-9/+]{0,39}[a-z])(?=[A-Za-z0-9/+]{0,39}[A-Z])[A-Za-z0-9/+]{40}"
    r"(?![A-Za-z0-9/+=])"
)
"""The secret key of AWS has no mark of its own; a commit or another hash in hexadecimal has only small letters."""
_BASE64 = r"[A-Za-z0-9+/]{8,500}={0,2}"


def _basic(found: re.Match[str]) -> str:
    """Return a text in which Base64 that holds a user and a password is replaced; a plain word stays."""
    try:
        decoded = base64.b64decode(found[2], validate=True)
    except ValueError:
        return found[0]
    return found[1] + REDACTED if decoded.isascii() and b":" in decoded else found[0]


# (pattern, replacement). Every repetition is bounded or ends at a character that it cannot start from, so that
# hostile text costs time in proportion to its length.
_Replacement = str | Callable[[re.Match[str]], str]
_PATTERNS: tuple[tuple[str, _Replacement], ...] = (
    (
        r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r".*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
        REDACTED,
    ),
    (
        r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|(?<![\w-])(?:x|dd)-[a-z-]{0,40}(?:token|key|secret))"
        r"((?:\\{0,4}[\"'])?\s{0,4}[:=])[^\n]*",
        rf"\1\2 {REDACTED}",
    ),
    (rf"({_AWS_ID}[\s\S]{{0,300}}?){_AWS_KEY}", rf"\1{REDACTED}"),
    (rf"{_AWS_KEY}(?=[\s\S]{{0,300}}?{_AWS_ID})", REDACTED),
    (
        r"((?i:secret|key|token|credentials?|passw(?:or)?d)[\w.-]{0,20}[^\w\n]{0,6}\s{0,4})" + _AWS_KEY,
        rf"\1{REDACTED}",
    ),
    (rf"(?i)(\bbasic(?:\s{{1,4}}auth\w{{0,11}}:?)?\s{{1,4}})({_BASE64})", _basic),
    (rf"(?i)((?<![A-Za-z0-9])auth{_ASSIGNED}\\{{0,4}}[\"']?)({_BASE64})", _basic),
    (
        r"(?i)\b(bearer(?:\s{1,4}|%20|\s?[:=]\s{0,4}))(?=[^\s]{0,100}[0-9])[A-Za-z0-9._~+/=-]{6,}",
        rf"\1{REDACTED}",
    ),
    (
        r"(?i)\b(bearer|basic|token|geniekey)\s{1,4}(?!\[redacted)[A-Za-z0-9._~+/=-]{16,}",
        rf"\1 {REDACTED}",
    ),
    # Credentials in URLs and connection strings; a password may hold a slash except in a web address.
    (
        r"(?i)\b(?!https?:)([a-z][a-z0-9+.-]{1,20}://)[^\s@/:]{0,200}:[^\s@]{1,500}@(?:[^\s/?#]*@)?",
        rf"\1{REDACTED}@",
    ),
    (r"(?i)\b([a-z][a-z0-9+.-]{1,20}://)(?!git@)[^\s/?#]*@", rf"\1{REDACTED}@"),
    (r"(?<!:)(//)[^\s/?#@:]{1,200}:[^\s/?#@]{1,200}@", rf"\1{REDACTED}@"),
    (r"(?<![\w/:])[\w.-]{1,63}:[^\s@]{1,128}@(?=(?:tcp|unix)\()", f"{REDACTED}@"),
    (r"(?i)\b(login\s{1,4}\S{1,100}\s{1,4}password\s{1,4})(?!\[redacted)\S{1,200}", rf"\1{REDACTED}"),
    (r"(?i)\b(jdbc:oracle:[a-z]{1,10}:)[^\s/@]{1,100}/[^\s@]{1,200}@", rf"\1{REDACTED}@"),
    (
        r"(?<![\w/:])[A-Za-z][\w.-]{0,63}:[^\s:@/,;]{1,128}@(?!sha\d)(?=[A-Za-z0-9][\w.-]{0,252}[:/])",
        f"{REDACTED}@",
    ),
    (r"(?i)(https://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/)(?!\[redacted)\S+", rf"\1{REDACTED}"),
    (
        r"(?i)(https://(?:[\w.-]{1,100}\.webhook\.office\.com|outlook\.office(?:365)?\.com/webhook)/)(?!\[redacted)\S+",
        rf"\1{REDACTED}",
    ),
    (r"(?i)([?&]code=)[\w.~%/-]{20,2000}", rf"\1{REDACTED}"),
    *((token, REDACTED) for token in _TOKENS),
    # Named values: NAME=value, "name": "value", <name>value<, --name value, and prose.
    (rf"(?i)({_NAME}{_ASSIGNED}){_VALUE}", rf"\1{REDACTED}"),
    (rf"(?i)(<[\w:-]{{0,40}}{_NAME}(?:\s[^<>\n]{{1,200}})?>)(?!\[redacted)[^<\n]{{1,500}}", rf"\1{REDACTED}"),
    (rf"(?i)((?<![\w-])--[\w-]{{0,40}}{_NAME}[\w-]{{0,20}}\s{{1,4}})(?!-){_VALUE}", rf"\1{REDACTED}"),
    (
        r"(?i)(\b(?:sshpass|(?:docker|podman) login|mysql\w{0,10}|mongo\w{0,10}|redis-cli)\b[^\n]{0,100}?"
        r"\s-(?-i:[pa])\s?)"
        r"(?!\[redacted)[^\s]{4,200}",
        rf"\1{REDACTED}",
    ),
    # The name of a secret in an error is no secret.
    (
        r"(?i)\b((?:passw(?:or)?d|passphrase|pwd|secret)\s{1,4}(?:(?:is|was)\s{1,4})?)([\"'`])[^\"'`\n]{4,200}\2"
        r"(?!\s{1,4}(?:not|is|was|already|does|in|could|cannot|has)\b)",
        rf"\1{REDACTED}",
    ),
    (r"(\s(?:-u[\s=]{0,4}|--user[\s=]{1,4}))[^\s:]{1,100}:[^\s]{1,200}", rf"\1{REDACTED}"),
    (r"(\s--from-literal[\s=]{1,4}[\w.-]{1,100}=)[^\s]{1,200}", rf"\1{REDACTED}"),
    (
        r"(?i)\b((?:(?:session|security|auth|refresh|secret|client)[_ -]?(?:access[_ -]?)?(?:key|token|secret))"
        r"\s{1,4}(?:(?:is|was)\s{1,4})?)(?=[^\s]{0,100}[0-9])(?!\[redacted)[^\s,;\"'<>]{16,4000}",
        rf"\1{REDACTED}",
    ),
    (
        r"(?i)\b((?:passw(?:or)?d|passphrase|pwd|(?:api|app|access|secret|private)[_ -]?(?:key|token))"
        r"\s{1,4}(?:for\s{1,4}(?:user\s{1,4})?[^\s]{1,60}\s{1,4})?(?:(?:is|was|of)[\s:]{1,4})?)(?=[^\s]{0,100}[0-9])(?!\[redacted)[^\s,;\"'<>]{6,200}",
        rf"\1{REDACTED}",
    ),
)
_RULES = tuple((re.compile(pattern), replacement) for pattern, replacement in _PATTERNS)


_PREFIXED = re.compile(_PREFIXED_FORM)
_AWS_IDS = re.compile(_AWS_ID)
_AWS_KEYS = re.compile(_AWS_KEY)
_HINTS = (
    "@", "key", "secret", "token", "pass", "pwd", "sig", "cred", "sess", "auth", "cookie", "bearer", "basic",
    "webhook", "hooks.slack", "code=", "-----begin", ":aa", " -u", "\n-u", "\t-u", " -p", "\n-p", "\t-p", "--user",
    "xox", "xapp",
    "eyj", "akia", "asia", "aroa", "aida", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_", "glpat",
    "glptt", "gldt", "glrt", "sk-", "sk_", "pk-", "pk_", "rk-", "rk_", "whsec", "sg.", "aiza", "ya29", "hvs.",
    "hvb.", "hvr.", "npm_", "pypi-", "dckr_", "dop_v1", "shpat", "shpca", "shppa", "shpss", "dapi", "lin_api",
    "pmak", "atatt", "glsa", "nrak", "sq0", "geniekey", "pw", "gocspx",
    "1//0", "7q~", "8q~", "==", "pat-", "fwogz", "iqojb", "nfp_", "sbp_", "ntn_", "figd_", "glc_", "ops_",
    "sntry", "rubygems_", "fm1_", "fm2_", "pscale_", "tskey-", "dp.", "akcp", "atlasv1", "psk", "--from-literal",
    " -a", "community", "kennwort", "contrase", "senha", "\u043f\u0430\u0440\u043e\u043b\u044c", "\u5bc6\u7801",
    "\u30d1\u30b9\u30ef\u30fc\u30c9",
)  # fmt: skip
"""One of these stands in every text that a rule changes, in any case: most texts need no further look."""


def _any_of(words: Iterable[str]) -> str:
    """Return a pattern of any of these words, in which those that begin alike share their beginning."""
    tails: dict[str, list[str]] = {}
    for word in words:
        if not word:
            return ""
        tails.setdefault(word[0], []).append(word[1:])
    branches = [re.escape(first) + _any_of(rest) for first, rest in tails.items()]
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"


_HINTED = re.compile(_any_of(_HINTS))
"""Four times as fast as looking for one hint after the other: a webhook's request has dozens of short texts."""


def redact(text: str) -> str:
    """Return ``text`` with whatever looks like a secret replaced by a mark.

    It would rather remove a harmless word than let a credential through, but knows only the forms above.

    >>> redact("postgres://app:hunter2@db/orders?sslmode=require")
    'postgres://[redacted]@db/orders?sslmode=require'
    """
    if not text.isascii():
        # What hides in a name does not hide the secret after it.
        plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
        if plain != text and (hidden := redact(plain)) != plain:
            return hidden
    if not _HINTED.search(text.lower()) and not ("_" in text and _PREFIXED.search(text)):
        return text
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def redact_values(value: Any, *, depth: int = 40) -> Any:
    """Return a JSON value with the secrets in its texts replaced, and those that its names announce.

    :param depth: what is nested deeper is left out.
    """
    if isinstance(value, str):
        return _redact_json(value, depth) if value.lstrip()[:1] in ("{", "[") else redact(value)
    if isinstance(value, dict | list) and depth == 0:
        return None
    if isinstance(value, dict | list):
        value = _without_aws_keys(value)
    if isinstance(value, dict):
        secrets = {key for key in value if _SECRET_NAME.fullmatch(str(key))}
        if _SECRET_NAME.fullmatch(str(value.get("name", value.get("key")))):
            secrets.add("value")
        return {
            key: _hidden(item) if key in secrets else redact_values(item, depth=depth - 1)
            for key, item in value.items()
        }
    return [redact_values(item, depth=depth - 1) for item in value] if isinstance(value, list) else value


def _without_aws_keys(value: dict[Any, Any] | list[Any]) -> dict[Any, Any] | list[Any]:
    """Return an object or list without the secret keys of AWS that stand beside the id of one."""
    items = list(value.values()) if isinstance(value, dict) else value
    if not any(isinstance(item, str) and _AWS_IDS.search(item) for item in items):
        return value
    shown = [_AWS_KEYS.sub(REDACTED, item) if isinstance(item, str) else item for item in items]
    return dict(zip(value, shown, strict=True)) if isinstance(value, dict) else shown


def _redact_json(text: str, depth: int) -> str:
    """Return JSON text with its secrets replaced: as JSON, for a mark in place of a string would break it."""
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return redact(text)
    redacted = redact_values(value, depth=depth - 1)
    return text if redacted == value else json.dumps(redacted)


def _hidden(value: Any) -> Any:
    """Return what a secret's name announces with all of its values replaced; what is empty, or no secret, stays."""
    if isinstance(value, dict):
        return {key: _hidden(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_hidden(item) for item in value]
    return value if value is None or isinstance(value, bool) or value == "" else REDACTED
