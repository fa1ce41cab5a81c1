"""Environments that are healthy, and unusual: no fail and no warn is right."""

from __future__ import annotations

import gzip
import ssl
from typing import Any

import trustme

from airflow_incident_provider.probes import ProbeSettings
from benchmarks.probes.environments import (
    HEALTHY,
    HTTP_OK,
    HTTPS_OK,
    OK,
    OK_ANSWER,
    PUBLIC_IPV6,
    TIMES,
    VALID,
    Check,
    add,
    check,
    environment,
    grpc,
    http,
    https,
    in_network6,
    on_bridge,
    tolerant,
)
from benchmarks.probes.lab import DOMAIN, Lab
from benchmarks.probes.servers import answer, hang_up, raw_answer, read_request, say, stream, wait_for_end

add(HEALTHY, "plain HTTP", OK, HTTP_OK, lambda lab: http(lab, OK_ANSWER), quick=True)
add(
    HEALTHY,
    "HTTPS by a private authority that is trusted",
    OK,
    HTTPS_OK,
    lambda lab: https(lab, OK_ANSWER),
    quick=True,
)
add(HEALTHY, "204 without a body", OK, f"HTTP 204{TIMES}", lambda lab: http(lab, answer("204 No Content", b"")))
for _status, _words in (
    ("401 Unauthorized", "up, requires authentication"),
    ("403 Forbidden", "up, requires authentication"),
    ("405 Method Not Allowed", "up, does not accept GET"),
    ("426 Upgrade Required", "up, requires another protocol"),
):
    add(
        HEALTHY,
        f"status {_status}",
        OK,
        f"HTTP {_status[:3]}{TIMES}; {_words}",
        lambda lab, status=_status: http(lab, answer(status)),
        quick=_status.startswith("401"),
    )
add(
    HEALTHY,
    "404 is what the table expects",
    OK,
    f"HTTP 404{TIMES}",
    lambda lab: http(lab, answer("404 Not Found"), expect=tolerant(statuses=("404",))),
)
add(
    HEALTHY,
    "302 is what the table expects",
    OK,
    f"HTTP 302{TIMES}",
    lambda lab: http(lab, answer("302 Found", Location="/login"), expect=tolerant(statuses=("2xx", "300-303"))),
)


@environment(
    HEALTHY,
    "redirect that is followed",
    OK,
    rf"redirects to http://host-\d+\.{DOMAIN}:\d+/end: {HTTP_OK}",
    quick=True,
)
def _followed(lab: Lab) -> Check:
    there = f"http://{lab.name()}:{lab.serve(OK_ANSWER)}/end"
    return http(lab, answer("301 Moved Permanently", Location=there), expect=tolerant(follow_redirects=True))


@environment(HEALTHY, "relative redirect that is followed", OK, rf"redirects to http://[^ ]+/end: {HTTP_OK}")
def _relative(lab: Lab) -> Check:
    def script(connection: Any) -> None:
        target = b"/end" in read_request(connection).split(b" ")[1]
        head = b"HTTP/1.1 200 OK\r\n" if target else b"HTTP/1.1 307 Temporary Redirect\r\nLocation: end\r\n"
        connection.sendall(head + b"Content-Length: 0\r\nConnection: close\r\n\r\n")

    return http(lab, script, expect=tolerant(follow_redirects=True))


@environment(HEALTHY, "certificate with 41 names, the wanted one last", OK, HTTPS_OK, quick=True)
def _many_names(lab: Lab) -> Check:
    name = lab.name()
    others = [f"tenant-{number:02d}.shared-edge.example" for number in range(40)]
    return https(lab, OK_ANSWER, lab.tls(*others, name), host=name)


@environment(HEALTHY, "certificate with 1,000 names, the wanted one last", OK, HTTPS_OK)
def _thousand_names(lab: Lab) -> Check:
    name = lab.name()
    return https(lab, OK_ANSWER, lab.tls(*(f"tenant-{n}.shared-edge.example" for n in range(999)), name), host=name)


@environment(HEALTHY, "wildcard certificate", OK, HTTPS_OK)
def _wildcard(lab: Lab) -> Check:
    return https(lab, OK_ANSWER, lab.tls(f"*.{DOMAIN}"))


@environment(HEALTHY, "certificate for an address", OK, HTTPS_OK)
def _address_certificate(lab: Lab) -> Check:
    return check(f"https://{lab.address}:{lab.serve(OK_ANSWER, tls=lab.tls(lab.address))}/")


@environment(HEALTHY, "certificate by an intermediate authority", OK, HTTPS_OK)
def _intermediate(lab: Lab) -> Check:
    name = lab.name()
    return https(lab, OK_ANSWER, lab.tls(name, authority=lab.authority.create_child_ca()), host=name)


for _version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    add(
        HEALTHY,
        f"only {_version.name.replace('_', '.')}",
        OK,
        HTTPS_OK,
        lambda lab, version=_version: https(
            lab, OK_ANSWER, lab.tls(name := lab.name(), versions=(version, version)), host=name
        ),
    )


@environment(HEALTHY, "server that needs the name in the handshake", OK, HTTPS_OK)
def _needs_sni(lab: Lab) -> Check:
    name = lab.name()
    context = lab.tls(name)

    def choose(_socket: object, asked: str | None, _context: object) -> int | None:
        return None if asked == name else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    context.sni_callback = choose  # type: ignore[assignment]
    return https(lab, OK_ANSWER, context, host=name)


@environment(HEALTHY, "client certificate that the table names", OK, HTTPS_OK, quick=True)
def _client_certificate(lab: Lab) -> Check:
    name, clients = lab.name(), trustme.CA()
    issued = clients.issue_cert("probe@acme.example")
    pem = (issued.cert_chain_pems[0].bytes() + issued.private_key_pem.bytes()).decode()
    options = {"settings": ProbeSettings(ca_pem=lab.ca_pem, client_pem=pem)}
    expect = tolerant(client_certificate="probe_certificate")
    return https(lab, OK_ANSWER, lab.tls(name, clients=clients), host=name, expect=expect, **options)


@environment(HEALTHY, "international name", OK, HTTP_OK, quick=True)
def _idn(lab: Lab) -> Check:
    lab.zone[f"xn--bcher-kva.{DOMAIN}"] = lab.zone[lab.name().lower()]
    return http(lab, OK_ANSWER, host=f"bücher.{DOMAIN}", path="/größe?ä=1")


@environment(HEALTHY, "capital letters and a final dot", OK, HTTP_OK)
def _capitals(lab: Lab) -> Check:
    return http(lab, OK_ANSWER, host=f"{lab.name().upper()}.")


@environment(HEALTHY, "name with an underscore", OK, HTTP_OK)
def _underscore(lab: Lab) -> Check:
    return http(lab, OK_ANSWER, host=lab.name(label="my_service"))


add(HEALTHY, "IPv4 literal", OK, HTTP_OK, lambda lab: http(lab, OK_ANSWER, host=lab.address))


@environment(HEALTHY, "IPv6 literal", OK, HTTP_OK, quick=True)
def _ipv6_literal(lab: Lab) -> Check:
    address = lab.network6.address6 or ""
    return check(f"http://[{address}]:{lab.serve(OK_ANSWER, at=address)}/", **in_network6(lab))


@environment(HEALTHY, "IPv6 only, from a network with IPv6", OK, HTTP_OK)
def _ipv6_only(lab: Lab) -> Check:
    address = lab.network6.address6 or ""
    return check(f"http://{lab.name(address)}:{lab.serve(OK_ANSWER, at=address)}/", **in_network6(lab))


@environment(
    HEALTHY,
    "dual stack, from a network without IPv6",
    OK,
    rf"{HTTP_OK}; IPv6 not checked: this container has no route to {PUBLIC_IPV6}",
    quick=True,
)
def _dual_stack(lab: Lab) -> Check:
    return http(lab, OK_ANSWER, host=lab.name(lab.address, PUBLIC_IPV6))


@environment(
    HEALTHY,
    "dual stack, from a network whose IPv6 leads nowhere",
    OK,
    rf"{HTTP_OK}; IPv6 not checked: {PUBLIC_IPV6} does not answer a container without a public IPv6 address",
)
def _dual_stack_ula(lab: Lab) -> Check:
    here = lab.network6.addresses[0]
    return check(f"http://{lab.name(here, PUBLIC_IPV6)}:{lab.serve(OK_ANSWER, at=here)}/", **in_network6(lab))


@environment(
    HEALTHY,
    "dual stack, port checked over IPv4 only",
    OK,
    rf"port \d+ open; IPv6 not checked: .+ no route to {PUBLIC_IPV6}",
)
def _dual_stack_port(lab: Lab) -> Check:
    return check(f"{lab.name(lab.address, PUBLIC_IPV6)}:{lab.serve(wait_for_end)}")


@environment(HEALTHY, "IPv4-only service behind NAT64", OK, HTTP_OK)
def _nat64(lab: Lab) -> Check:
    address = lab.nat64()
    return check(f"http://{lab.name(address)}:{lab.serve(OK_ANSWER, at=address)}/", **in_network6(lab))


@environment(HEALTHY, "three addresses", OK, rf"{HTTP_OK} at [0-9.]+; the same verdict at 3 addresses")
def _three_addresses(lab: Lab) -> Check:
    addresses = lab.network.addresses[:3]
    port = lab.serve(OK_ANSWER, at=addresses[0])
    for address in addresses[1:]:
        lab.serve(OK_ANSWER, at=address, port=port)
    return check(f"http://{lab.name(*addresses)}:{port}/")


@environment(
    HEALTHY,
    "twenty IPv6 addresses next to one of IPv4",
    OK,
    rf"{HTTP_OK}; IPv6 not checked: this container has no route .+",
)
def _many_addresses(lab: Lab) -> Check:
    host = lab.name(lab.address, *(f"2606:4700::{n:x}" for n in range(1, 21)))
    return http(lab, OK_ANSWER, host=host, **on_bridge(lab.address))


add(
    HEALTHY,
    "answer truncated over UDP",
    OK,
    HTTP_OK,
    lambda lab: http(lab, OK_ANSWER, host=lab.name(truncate=True)),
    quick=True,
)
add(HEALTHY, "alias", OK, HTTP_OK, lambda lab: http(lab, OK_ANSWER, host=lab.name(alias=f"{lab.name()}.")))
for _code in ("SERVFAIL", "REFUSED"):
    add(
        HEALTHY,
        f"first of two resolvers answers {_code}",
        OK,
        HTTP_OK,
        lambda lab, code=_code: http(
            lab,
            OK_ANSWER,
            **on_bridge(lab.resolver(lab.free_address(), everything=code), lab.address),
        ),
        quick=_code == "SERVFAIL",
    )
add(
    HEALTHY,
    "first of two resolvers is not there",
    OK,
    HTTP_OK,
    lambda lab: http(lab, OK_ANSWER, **on_bridge(lab.deserted, lab.address)),
)
add(
    HEALTHY,
    "first of two resolvers has an IPv6 address",
    OK,
    HTTP_OK,
    lambda lab: http(lab, OK_ANSWER, **on_bridge("2001:db8::53", lab.address)),
)
for _code in ("SERVFAIL", "REFUSED", "NXDOMAIN"):
    add(
        HEALTHY,
        f"resolver of internal names only, {_code} for the root",
        OK,
        HTTP_OK,
        lambda lab, code=_code: http(lab, OK_ANSWER, **on_bridge(lab.resolver(lab.free_address(), root=code))),
    )
add(
    HEALTHY,
    "HTTP/1.0 that ends with the connection",
    OK,
    f"HTTP 200{TIMES}",
    lambda lab: http(lab, raw_answer(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall is well")),
)
add(
    HEALTHY,
    "chunked answer",
    OK,
    HTTP_OK,
    lambda lab: http(
        lab, raw_answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    ),
)
add(
    HEALTHY,
    "103 Early Hints before the answer",
    OK,
    HTTP_OK,
    lambda lab: http(
        lab,
        raw_answer(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        ),
    ),
)
add(
    HEALTHY,
    "answer of many megabytes",
    OK,
    HTTP_OK,
    lambda lab: http(
        lab, stream(b"HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n", b"and so on\n" * 6000, pause_s=0)
    ),
    quick=True,
)
add(
    HEALTHY,
    "stream of events",
    OK,
    HTTP_OK,
    lambda lab: http(
        lab, stream(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", b"data: 1\n\n", pause_s=0.5)
    ),
)
add(
    HEALTHY,
    "compressed body that matches",
    OK,
    HTTP_OK,
    lambda lab: http(
        lab,
        answer("200 OK", gzip.compress(b'{"status": "up"}'), Content_Encoding="gzip"),
        expect=tolerant(body=r'"status":\s*"up"'),
    ),
)
add(
    HEALTHY,
    "headers of 30 KB",
    OK,
    HTTP_OK,
    lambda lab: http(lab, answer("200 OK", **{f"X_{number}": "x" * 1000 for number in range(30)})),
)
add(
    HEALTHY,
    "slow, and the table allows for it",
    OK,
    HTTP_OK,
    lambda lab: http(lab, answer("200 OK", delay_s=2.5)),
)


@environment(HEALTHY, "server that answers only with a header of the table", OK, HTTP_OK)
def _header(lab: Lab) -> Check:
    def script(connection: Any) -> None:
        known = b"x-tenant: acme" in read_request(connection).lower()
        connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % (b"200 OK" if known else b"500 No"))

    return http(lab, script, expect=tolerant(headers=(("X-Tenant", "acme"),)))


add(
    HEALTHY,
    "port of a silent server",
    OK,
    r"port \d+ open",
    lambda lab: check(f"{lab.name()}:{lab.serve(wait_for_end)}"),
    quick=True,
)
add(
    HEALTHY,
    "port of a server that greets",
    OK,
    r"port \d+ open",
    lambda lab: check(f"{lab.name()}:{lab.serve(say(b'220 mail ready', then_wait=True))}"),
)
add(
    HEALTHY,
    "port of a server that hangs up at once",
    OK,
    r"port \d+ open",
    lambda lab: check(f"{lab.name()}:{lab.serve(hang_up)}"),
)
add(
    HEALTHY,
    "database by its connection string",
    OK,
    r"port \d+ open",
    lambda lab: check(f"postgres://app:p4ss/w0rd@{lab.name()}:{lab.serve(wait_for_end)}/orders?sslmode=require"),
)
add(
    HEALTHY,
    "TLS service that is no web server",
    OK,
    r"certificate valid until .+",
    lambda lab: check(f"rediss://:s3cret@{(name := lab.name())}:{lab.serve(wait_for_end, tls=lab.tls(name))}/0"),
)
add(HEALTHY, "name alone", OK, r"1 address in \d+ ms", lambda lab: check(lab.name()))
add(
    HEALTHY,
    "gRPC server that is serving",
    OK,
    f"the health check was answered SERVING{TIMES}",
    lambda lab: grpc(lab, 1),
    quick=True,
)
add(
    HEALTHY,
    "gRPC server with TLS",
    OK,
    f"the health check was answered SERVING{TIMES}{VALID}",
    lambda lab: grpc(lab, 1, secure=True),
)
add(
    HEALTHY,
    "gRPC server without a health service",
    OK,
    f"up, has no health service,{TIMES}",
    lambda lab: grpc(lab, None),
)


@environment(HEALTHY, "target outside, through the proxy", OK, rf"{HTTP_OK}", quick=True)
def _through_proxy(lab: Lab) -> Check:
    proxy = f"http://{lab.address}:{lab.serve(OK_ANSWER)}"
    return check("http://outside.acme.example/", settings=ProbeSettings(proxy=proxy))


@environment(HEALTHY, "IPv4-only name, from a network with IPv6", OK, HTTP_OK, quick=True)
def _ipv4_only(lab: Lab) -> Check:
    here = lab.network6.addresses[0]
    return check(f"http://{lab.name(here)}:{lab.serve(OK_ANSWER, at=here)}/", **in_network6(lab))
