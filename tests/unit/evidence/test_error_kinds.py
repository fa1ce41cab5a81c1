"""Classify error messages of resolvers, libraries and servers."""

from __future__ import annotations

import pytest

from airflow_incident_provider.evidence.checks.errors import kind_of
from airflow_incident_provider.evidence.observations import ErrorKind


@pytest.mark.parametrize(
    "text",
    [
        "dial tcp: lookup tax.acme.internal on 192.0.2.10:53: server misbehaving",
        "dial tcp: lookup tax.acme.internal on <address>: server misbehaving (order <n>)",
        "dial tcp: lookup tax.acme.internal: i/o timeout",
        "rpc error: code = Unavailable desc = name resolver error: produced zero addresses",
        "DNS resolution failed for service: tax.acme.internal:443",
        "failed to lookup address information: Try again",
        "error trying to connect: dns error: failed to resolve",
        'host not found in upstream "tax.acme.internal"',
        "tax.acme.internal could not be resolved (3: Host not found)",
        "curl: (6) Could not resolve host: tax.acme.internal",
        "[Errno 8] nodename nor servname provided, or not known",
        "tax.acme.internal: Name does not resolve",
    ],
)
def test_dns_errors_of_common_resolvers_are_recognized(text: str) -> None:
    assert kind_of(text) is ErrorKind.DNS


@pytest.mark.parametrize(
    "text",
    [
        "lookup of order 7: i/o timeout",
        "lookup table prices: server misbehaving politely",
        "the upstream server is misbehaving",
        "host tax-03 not found in the inventory",
    ],
)
def test_other_lookup_errors_are_not_dns_errors(text: str) -> None:
    assert kind_of(text) is not ErrorKind.DNS
