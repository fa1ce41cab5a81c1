"""Environments of chains of certificates: authorities that are old, limited, missing, or shown for nothing."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from airflow_incident_provider.probes import ProbeSettings
from benchmarks.probes.certificates import AUTHORITY, KEYS, context_of, issue, made, names_of, pem_of
from benchmarks.probes.environments import (
    BROKEN,
    FAIL,
    HEALTHY,
    HTTPS_OK,
    OK,
    OK_ANSWER,
    UNCHECKED,
    UNKNOWN,
    WARN,
    Check,
    add,
    check,
    environment,
    https,
    in_network6,
)
from benchmarks.probes.lab import DOMAIN, Lab

_REJECTED = "clients with the usual authorities reject the certificate: "
_EC = "ECDSA, P-256"


class Chain:
    """A root that the probe trusts, an authority between, and a server's certificate, each as a case asks.

    :param root_days: days until the root expires.
    :param between: extensions of the authority between.
    :param between_starts: in how many days that authority begins to be valid.
    """

    def __init__(
        self,
        *,
        root_days: float = 600,
        between: Sequence[x509.ExtensionType] = (AUTHORITY,),
        between_starts: float = -300,
        root: Sequence[x509.ExtensionType] = (AUTHORITY,),
    ) -> None:
        self.root_key, self.key, self.own_key = (KEYS[_EC]() for _ in range(3))
        self.root = issue("lab root", self.root_key, "lab root", self.root_key, root, root_days)
        self.between = issue(
            "lab intermediate",
            self.key,
            "lab root",
            self.root_key,
            between,
            300,
            starts_in_days=between_starts,
        )

    def own(self, *names: str, extensions: Sequence[x509.ExtensionType] = ()) -> x509.Certificate:
        """Return the server's certificate, by the authority between."""
        return issue("shop", self.own_key, "lab intermediate", self.key, [names_of(*names), *extensions])

    def served(self, lab: Lab, name: str, shown: Sequence[x509.Certificate], **options: Any) -> Check:
        """Return the check of a server that shows these certificates."""
        context = context_of(lab, self.own_key, "".join(pem_of(each) for each in shown))
        port = lab.serve(OK_ANSWER, tls=context)
        return check(f"https://{name}:{port}/", settings=ProbeSettings(ca_pem=pem_of(self.root)), **options)


def _chain(lab: Lab, **parts: Any) -> Check:
    """Return the check of a server with an authority between."""
    chain, name = Chain(**parts), lab.name()
    return chain.served(lab, name, [chain.own(name), chain.between])


@environment(HEALTHY, "chain with its root", OK, HTTPS_OK)
def _with_root(lab: Lab) -> Check:
    chain, name = Chain(), lab.name()
    return chain.served(lab, name, [chain.own(name), chain.between, chain.root])


@environment(HEALTHY, "chain in another order", OK, HTTPS_OK)
def _disorder(lab: Lab) -> Check:
    chain, name = Chain(), lab.name()
    return chain.served(lab, name, [chain.own(name), chain.root, chain.between])


@environment(HEALTHY, "old cross-signed authority that nobody needs, in the chain", OK, HTTPS_OK)
def _old_cross_sign(lab: Lab) -> Check:
    chain, name = Chain(), lab.name()
    retired = KEYS[_EC]()
    cross = issue("lab root", chain.root_key, "retired root", retired, [AUTHORITY], -40)
    return chain.served(lab, name, [chain.own(name), chain.between, cross])


@environment(
    BROKEN,
    "root that has expired",
    WARN,
    rf"{_REJECTED}an authority that its chain ends in has expired",
    quick=True,
)
def _old_root(lab: Lab) -> Check:
    return _chain(lab, root_days=-5)


@environment(BROKEN, "authority between that is not valid yet", FAIL, "a certificate in its chain is not valid yet")
def _early_between(lab: Lab) -> Check:
    return _chain(lab, between_starts=5)


@environment(BROKEN, "authority between that is none", WARN, rf"{_REJECTED}.+")
def _no_authority(lab: Lab) -> Check:
    return _chain(lab, between=[x509.BasicConstraints(ca=False, path_length=None)])


@environment(
    BROKEN, "authority between that may not sign for this name", WARN, rf"{_REJECTED}an authority may not issue .+"
)
def _constrained(lab: Lab) -> Check:
    limits = x509.NameConstraints(permitted_subtrees=[x509.DNSName("acme.example")], excluded_subtrees=None)
    return _chain(lab, between=[AUTHORITY, limits])


@environment(HEALTHY, "authority between that may sign for this name", OK, HTTPS_OK)
def _constrained_well(lab: Lab) -> Check:
    limits = x509.NameConstraints(permitted_subtrees=[x509.DNSName(DOMAIN)], excluded_subtrees=None)
    return _chain(lab, between=[AUTHORITY, limits])


@environment(BROKEN, "chain that is longer than its root allows", WARN, rf"{_REJECTED}its chain is longer than .+")
def _too_long(lab: Lab) -> Check:
    return _chain(lab, root=[x509.BasicConstraints(ca=True, path_length=0)])


@environment(BROKEN, "certificate that signed itself", WARN, rf"{_REJECTED}it is self-signed")
def _self_signed(lab: Lab) -> Check:
    name, key = lab.name(), KEYS[_EC]()
    own = issue(name, key, name, key, [names_of(name)])
    return https(lab, OK_ANSWER, context_of(lab, key, pem_of(own)), host=name)


@environment(
    BROKEN, "unknown root, shown in the chain", WARN, rf"{_REJECTED}its chain ends in an unknown authority"
)
def _unknown_root(lab: Lab) -> Check:
    chain, name = Chain(), lab.name()
    made = chain.served(lab, name, [chain.own(name), chain.between, chain.root])
    return Check(run=made.run)


@environment(BROKEN, "signature that is wrong", FAIL, r"certificate rejected: its signature is wrong")
def _wrong_signature(lab: Lab) -> Check:
    chain, name = Chain(), lab.name()
    own = issue("shop", chain.own_key, "lab intermediate", KEYS[_EC](), [names_of(name)])
    return chain.served(lab, name, [own, chain.between])


# --- names ------------------------------------------------------------------------------------------------

add(
    HEALTHY,
    "IPv6 literal, and a certificate for it",
    OK,
    HTTPS_OK,
    lambda lab: _ipv6(lab, lab.network6.address6 or ""),
)
add(
    BROKEN,
    "IPv6 literal, and a certificate for another",
    FAIL,
    r"certificate is for another name \(fd00::1234\), not fd00:.+",
    lambda lab: _ipv6(lab, "fd00::1234"),
)


def _ipv6(lab: Lab, named: str) -> Check:
    address = lab.network6.address6 or ""
    port = lab.serve(OK_ANSWER, at=address, tls=lab.tls(named))
    return check(f"https://[{address}]:{port}/", **in_network6(lab))


@environment(
    BROKEN,
    "wildcard for all of a top-level domain",
    FAIL,
    r"certificate is for another name \(\*\.test\), not shop-\d+\.test",
    quick=True,
)
def _top_level(lab: Lab) -> Check:
    name = lab.name().replace("host", "shop").replace(f".{DOMAIN}", ".test")
    lab.zone[name] = lab.zone[name.replace("shop", "host").replace(".test", f".{DOMAIN}")]
    return https(lab, OK_ANSWER, lab.tls("*.test"), host=name)


@environment(
    BROKEN, "wildcard for the domain itself", FAIL, r"certificate is for another name \(\*\.host.+\), not .+"
)
def _bare_domain(lab: Lab) -> Check:
    name = lab.name()
    return https(lab, OK_ANSWER, lab.tls(f"*.{name}"), host=name)


@environment(HEALTHY, "international name, and a certificate for it", OK, HTTPS_OK)
def _idn(lab: Lab) -> Check:
    lab.zone[f"käse.{DOMAIN}".encode("idna").decode()] = lab.zone[lab.name()]
    return https(lab, OK_ANSWER, lab.tls(f"käse.{DOMAIN}"), host=f"käse.{DOMAIN}")


@environment(HEALTHY, "international name, and a wildcard", OK, HTTPS_OK)
def _idn_wildcard(lab: Lab) -> Check:
    lab.zone[f"bröt.{DOMAIN}".encode("idna").decode()] = lab.zone[lab.name()]
    return https(lab, OK_ANSWER, lab.tls(f"*.{DOMAIN}"), host=f"bröt.{DOMAIN}")


@environment(BROKEN, "certificate for an e-mail address and a URL", FAIL, r"certificate is for another name .+")
def _no_host(lab: Lab) -> Check:
    name = lab.name()
    others = x509.SubjectAlternativeName(
        [x509.RFC822Name(f"admin@{name}"), x509.UniformResourceIdentifier(f"https://{name}/")]
    )
    return made(lab, others, host=name, subject=name)


@environment(HEALTHY, "certificate that promises a staple, and none", OK, HTTPS_OK)
def _must_staple(lab: Lab) -> Check:
    name = lab.name()
    return made(lab, names_of(name), x509.TLSFeature([x509.TLSFeatureType.status_request]), host=name)


# SubjectAlternativeName ::= SEQUENCE of [2] dNSName and [7] iPAddress, here of seven bytes.
def _odd_address(name: str) -> x509.UnrecognizedExtension:
    parts = bytes([0x82, len(name)]) + name.encode() + bytes([0x87, 7]) + bytes(7)
    return x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, bytes([0x30, len(parts)]) + parts)


@environment(
    UNCHECKED,
    "certificate with an address of seven bytes",
    UNKNOWN,
    r"the certificate cannot be read",
    quick=True,
)
def _unreadable(lab: Lab) -> Check:
    return made(lab, _odd_address(name := lab.name()), host=name)


# --- times ------------------------------------------------------------------------------------------------

_DATE = r"\d{4}-\d\d-\d\d"
for _days, _verdict, _words in (
    (0.5, WARN, rf"certificate expires in less than a day \({_DATE}, CN=.+\)"),
    (1.5, WARN, rf"certificate expires in 1 day \({_DATE}, CN=.+\)"),
    (13.9, WARN, rf"certificate expires in 13 days \({_DATE}, CN=.+\)"),
    (-0.1, FAIL, rf"certificate expired less than a day ago \({_DATE}, CN=.+\)"),
    (-1.1, FAIL, rf"certificate expired 1 day ago \({_DATE}, CN=.+\)"),
):
    add(
        BROKEN,
        f"certificate with {_days:g} days left",
        _verdict,
        _words,
        lambda lab, days=_days: https(lab, OK_ANSWER, lab.tls(name := lab.name(), days=days), host=name),
    )
for _days in (14.1, 20_000):
    add(
        HEALTHY,
        f"certificate with {_days:g} days left",
        OK,
        HTTPS_OK,
        lambda lab, days=_days: https(lab, OK_ANSWER, lab.tls(name := lab.name(), days=days), host=name),
    )
add(
    HEALTHY,
    "certificate that begins today",
    OK,
    HTTPS_OK,
    lambda lab: https(lab, OK_ANSWER, lab.tls(name := lab.name(), starts_in_days=-0.01), host=name),
)

# --- parameters of the handshake --------------------------------------------------------------------------


def _tuned(lab: Lab, **settings: Any) -> Check:
    name = lab.name()
    context = lab.tls(name, **settings.pop("tls", {}))
    for method, value in settings.items():
        getattr(context, method)(value)
    return https(lab, OK_ANSWER, context, host=name)


for _name, _settings in (
    ("that knows one curve only, and not the usual one", {"set_ecdh_curve": "secp521r1"}),
    ("that agrees on no protocol", {"set_alpn_protocols": ["acme/1"]}),
    ("that knows HTTP/1.0 by name only", {"set_alpn_protocols": ["http/1.0"]}),
    (
        "that knows ChaCha20 only",
        {"set_ciphers": "ECDHE+CHACHA20", "tls": {"versions": (ssl.TLSVersion.TLSv1_2,) * 2}},
    ),
):
    add(HEALTHY, f"TLS server {_name}", OK, HTTPS_OK, lambda lab, settings=_settings: _tuned(lab, **settings))
add(
    BROKEN,
    "TLS server whose ciphers nobody uses",
    FAIL,
    r"the TLS handshake failed \(.+\); not reached: request",
    lambda lab: _tuned(lab, set_ciphers="NULL:@SECLEVEL=0", tls={"versions": (ssl.TLSVersion.TLSv1_2,) * 2}),
)
