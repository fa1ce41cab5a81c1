"""Environments of redirects: where they lead, and what went wrong on the way there."""

from __future__ import annotations

from benchmarks.probes.answers import two
from benchmarks.probes.environments import (
    BROKEN,
    FAIL,
    HEALTHY,
    HTTPS_OK,
    OK,
    OK_ANSWER,
    TIMES,
    UNCHECKED,
    UNKNOWN,
    WARN,
    Check,
    add,
    environment,
    http,
    https,
    tolerant,
)
from benchmarks.probes.lab import Lab
from benchmarks.probes.servers import answer, raw_answer

FOLLOW = tolerant(follow_redirects=True)
_LEADS = r"redirects to http://[^ ]+"


def _well(lab: Lab) -> str:
    """Return the URL of a server that answers 200."""
    return f"http://{lab.name()}:{lab.serve(OK_ANSWER)}/"


@environment(
    HEALTHY, "redirect from HTTP to HTTPS of the same host", OK, rf"redirects to https://[^ ]+: {HTTPS_OK}"
)
def _to_https(lab: Lab) -> Check:
    name = lab.name()
    there = f"https://{name}:{lab.serve(OK_ANSWER, tls=lab.tls(name))}/"
    moved = answer("301 Moved Permanently", Location=there, Strict_Transport_Security="max-age=31536000")
    return http(lab, moved, host=name, expect=FOLLOW)


@environment(
    BROKEN, "redirect that is followed to an old certificate", FAIL, r"redirects to [^ ]+: certificate expired .+"
)
def _to_expired(lab: Lab) -> Check:
    name = lab.name()
    there = f"https://{name}:{lab.serve(OK_ANSWER, tls=lab.tls(name, days=-3.5))}/"
    return http(lab, answer("301 Moved Permanently", Location=there), host=name, expect=FOLLOW)


@environment(
    BROKEN,
    "old certificate before a redirect that is followed",
    FAIL,
    rf"certificate expired 3 days ago \(.+?\); {_LEADS}: HTTP 200{TIMES}",
    quick=True,
)
def _from_expired(lab: Lab) -> Check:
    name = lab.name()
    moved = answer("301 Moved Permanently", Location=_well(lab))
    return https(lab, moved, lab.tls(name, days=-3.5), host=name, expect=FOLLOW)


@environment(
    BROKEN,
    "one of two addresses answers 503, the other redirects",
    FAIL,
    rf"at 1 of 2 addresses \([0-9.]+\): HTTP 503{TIMES}; "
    rf"at 1 of 2 addresses \([0-9.]+\): HTTP 302{TIMES}; {_LEADS}; {_LEADS}: HTTP 200{TIMES}",
    quick=True,
)
def _one_redirects(lab: Lab) -> Check:
    return two(lab, answer("302 Found", Location=_well(lab)), answer("503 Service Unavailable"), expect=FOLLOW)


@environment(
    BROKEN,
    "slow redirect that is followed",
    WARN,
    rf"HTTP 302{TIMES}; {_LEADS}; slow: the limit is 900 ms; {_LEADS}: HTTP 200{TIMES}",
)
def _slow(lab: Lab) -> Check:
    moved = answer("302 Found", Location=_well(lab), delay_s=1)
    return http(lab, moved, expect=tolerant(follow_redirects=True, slow_ms=900))


for _location in (None, ""):
    add(
        BROKEN,
        f"302 {'with an empty' if _location == '' else 'without a'} location",
        WARN,
        f"HTTP 302{TIMES}; redirects without saying where",
        lambda lab, location=_location: http(
            lab, answer("302 Found") if location is None else answer("302 Found", Location=location), expect=FOLLOW
        ),
    )
add(
    UNCHECKED,
    "300 that offers several answers",
    UNKNOWN,
    f"HTTP 300{TIMES}; offers several answers, of which none was asked for",
    lambda lab: http(lab, answer("300 Multiple Choices")),
)
for _location, _words in (
    ("http://127.0.0.1:8080/", r"redirects to [^ ]+: 127\.0\.0\.1 \(loopback\) may not be probed"),
    ("http://[::1]/", r"redirects to [^ ]+: ::1 \(loopback\) may not be probed"),
    ("http://2852039166/", r"redirects to http://169\.254\.169\.254/: 169\.254\.169\.254 \(metadata\) may not .+"),
    ("http://0x7f.1/", r"redirects to http://127\.0\.0\.1/: 127\.0\.0\.1 \(loopback\) may not be probed"),
    ("file:///etc/passwd", r"redirects to file:///etc/passwd: only .+ URLs are probed"),
    ("ftp://files.lab.test/", r"redirects to ftp://files\.lab\.test/: only .+ URLs are probed"),
    (
        "http://user:s3cret@x.lab.test/",
        r"redirects to http://\[redacted\]@x\.lab\.test/: the URL holds credentials",
    ),
):
    add(
        UNCHECKED,
        f"redirect that is followed to {_location}",
        UNKNOWN,
        _words,
        lambda lab, location=_location: http(lab, answer("302 Found", Location=location), expect=FOLLOW),
    )


@environment(
    BROKEN, "redirect that is followed to a 503", FAIL, rf"redirects to http://[^ ]+: HTTP 503{TIMES}", quick=True
)
def _followed_to_failure(lab: Lab) -> Check:
    there = f"http://{lab.name()}:{lab.serve(answer('503 Service Unavailable'))}/"
    return http(lab, answer("302 Found", Location=there), expect=tolerant(follow_redirects=True))


@environment(
    BROKEN,
    "redirect that is followed to a refused port",
    FAIL,
    r"redirects to http://[^ ]+: port \d+: connection refused at .+",
)
def _followed_to_refusal(lab: Lab) -> Check:
    there = f"http://{lab.name()}:{lab.refused()}/"
    return http(lab, answer("302 Found", Location=there), expect=tolerant(follow_redirects=True))


@environment(
    BROKEN,
    "redirects in a circle",
    UNKNOWN,
    r"redirects to .+: HTTP 302.+; redirects to [^ ]+, which was not followed",
)
def _circle(lab: Lab) -> Check:
    return http(lab, answer("302 Found", Location="/again"), expect=tolerant(follow_redirects=True))


add(
    BROKEN,
    "302 with two locations",
    WARN,
    rf"HTTP 302{TIMES}; redirects to what is no single URL; the answer breaks the rules of HTTP",
    lambda lab: http(
        lab, raw_answer(b"HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n")
    ),
)
