"""The first two stages of every check: the name's addresses, and a connection to each of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Any

from airflow_incident_provider.models import ProbeRun, Stage, StageName, Vantage, Verdict
from airflow_incident_provider.probes.dns import KNOWN, Reply, ReplyCode, is_ipv6, read_reply
from airflow_incident_provider.probes.output import Measurements, MissingMeasurementError, plain_text
from airflow_incident_provider.probes.safety import AddressKind, classify, is_permitted, literal_address
from airflow_incident_provider.probes.script import endpoint_of

SLOW_LOOKUP_MS = 2_000
"""From how many milliseconds on a name's resolution is a warning."""

MOST_ADDRESSES = 32
"""How many addresses of a name the container reports."""

_FAMILIES = {"a": "IPv4", "aaaa": "IPv6"}
_FAILED = re.compile(r"failed: (.+)$", re.MULTILINE)
_TIMED_OUT = 28
_OPEN = "0"


class Outcome(StrEnum):
    """The result of a connection attempt to one address, as a phrase."""

    OPEN = "open"
    REFUSED = "connection refused"
    RESET = "connection reset"
    TIMEOUT = "no connection in time"
    UNREACHABLE = "no route to the host"
    FAILED = "could not connect"


@dataclass(frozen=True)
class Address:
    """One address of a target.

    :param permitted: whether it may be contacted.
    :param source: the container's address that a connection would come from; empty without a route.
    :param internal: whether the container's network has no way out.
    """

    address: str
    permitted: bool
    kind: str
    source: str = ""
    internal: bool = False

    @property
    def family(self) -> str:
        """``IPv4`` or ``IPv6``."""
        return "IPv6" if is_ipv6(self.address) else "IPv4"

    @property
    def is_doubtful(self) -> bool:
        """Whether silence says nothing: a public address, contacted from where no way leads to it.

        That is an internal network, or for IPv6 an address of ours that is not routed publicly.
        """
        if self.internal and self.kind == AddressKind.PUBLIC:
            return True
        if not self.source or not is_ipv6(self.address) or not is_ipv6(self.source):
            return False
        public = classify(ip_address(self.address)) is AddressKind.PUBLIC
        return public and classify(ip_address(self.source)) is not AddressKind.PUBLIC


PROXY = Address(address="proxy", permitted=True, kind="proxy")
"""What is contacted in place of a target's addresses, if the run goes through the proxy."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What came of contacting one address.

    :param transfer: what curl reported of its transfer, if there was one.
    :param verified: what curl reported of an earlier transfer that ended because it rejected the certificate.
    :param sent: curl's dump of the certificate message of a handshake that failed, if there was one.
    :param authorities: the certificates that curl trusts, if ``sent`` has to be verified here.
    :param proxied: whether a proxy was contacted in place of the address.
    """

    address: Address
    outcome: Outcome
    connect_ms: int | None = None
    transfer: dict[str, Any] | None = None
    verified: dict[str, Any] | None = None
    headers: bytes = b""
    body: bytes = b""
    trace: str = ""
    sent: str = ""
    authorities: str = ""
    proxied: bool = False


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What a name resolved to, and what the resolvers replied."""

    addresses: tuple[Address, ...]
    replies: tuple[Reply, ...] = ()
    literal: bool = False
    lookup_ms: int = 0

    def codes(self, *queries: str) -> set[ReplyCode]:
        """Return what the resolvers replied to queries, each reply once."""
        return {reply.code for reply in self.replies if reply.query in queries}

    @property
    def about_name(self) -> list[Reply]:
        """The replies to the queries for the name, without those for what every resolver knows."""
        return [reply for reply in self.replies if reply.query != KNOWN]

    @property
    def alias(self) -> str | None:
        """What the name is an alias of in the end, if it is one."""
        return next((plain_text(reply.alias.encode()) for reply in self.replies if reply.alias), None)

    @property
    def refused(self) -> Address | None:
        """The first address that must not be contacted, if there is one."""
        return next((each for each in self.addresses if not each.permitted), None)


def read_vantage(measured: Measurements, network: str | None) -> Vantage:
    """Return where the container looked from."""
    families = (name for name, key in (("IPv4", "routes4"), ("IPv6", "routes6")) if measured.has(key))
    addresses = tuple(address.partition("/")[0] for address in measured.words("addresses"))
    resolvers = measured.words("resolvers")
    return Vantage(network=network, addresses=addresses, resolvers=resolvers, families=tuple(families))


def read_resolution(run: ProbeRun, measured: Measurements, *, internal: bool) -> Resolution:
    """Return what the run's name resolved to: what the container found, and what else the resolvers replied.

    :raises MissingMeasurementError: the probe did not say.
    """
    if "judged" not in measured.values:
        raise MissingMeasurementError("addresses")
    addresses = tuple(
        Address(row[0], row[1] == "yes", row[2], row[3] if row[3] != "-" else "", internal)
        for row in measured.rows("judged")
        if len(row) == 4  # noqa: PLR2004 - address, verdict, kind, source
    )
    if literal_address(endpoint_of(run).host) is not None:
        return Resolution(addresses=addresses, literal=True)
    replies = read_replies(measured)
    known = {each.address for each in addresses}
    # A container without IPv6 does not look such addresses up.
    others = dict.fromkeys(a for each in replies if each.query != KNOWN for a in each.addresses if a not in known)
    unused = () if any(each.family == "IPv6" for each in addresses) else filter(is_ipv6, others)
    without_route = (
        Address(a, is_permitted(ip_address(a), run.allowed_networks), str(classify(ip_address(a)))) for a in unused
    )
    took = _lookup_ms(measured, addresses, replies)
    return Resolution(addresses=(*addresses, *without_route), replies=replies, lookup_ms=took)


def _lookup_ms(measured: Measurements, addresses: Sequence[Address], replies: Sequence[Reply]) -> int:
    """Return how long the slower family's look-up took.

    One that a resolver answered with an error does not count: musl waits and asks again then, other clients go on.
    That of IPv6 looks IPv4 up as well where it finds nothing, one after the other; clients look both up at once.
    """
    ipv4, ipv6 = measured.elapsed_ms("lookup4"), measured.elapsed_ms("lookup6")
    if not any(each.family == "IPv6" for each in addresses):
        ipv6 = max(0, ipv6 - ipv4)
    took = [0]
    for query, elapsed in (("a", ipv4), ("aaaa", ipv6)):
        codes = {reply.code for reply in replies if reply.query == query}
        if not codes or codes & {ReplyCode.NOERROR, ReplyCode.NXDOMAIN, ReplyCode.TIMEOUT}:
            took.append(elapsed)
    return max(took)


def read_replies(measured: Measurements) -> tuple[Reply, ...]:
    """Return what each resolver replied to each query."""
    found = [(key, message) for key, message in measured.values.items() if key.startswith("reply-")]
    return tuple(read_reply(key.removeprefix("reply-"), message) for key, message in found)


# --- the name -----------------------------------------------------------------------------------------


def assess_name(run: ProbeRun, found: Resolution) -> Stage:
    """Return whether the name has addresses, as far as that differs from our resolvers' own state."""
    if found.literal:
        return Stage(name=StageName.NAME, verdict=Verdict.OK, summary="written as an address")
    verdict, summary = _with_addresses(found) if found.addresses else _without_address(run, found)
    return Stage(name=StageName.NAME, verdict=verdict, summary=summary, duration_ms=found.lookup_ms)


def _with_addresses(found: Resolution) -> tuple[Verdict, str]:
    """Return how many addresses a name has, what is wrong with one type of them, and whether it took long."""
    count = len(found.addresses)
    more = " or more" if count >= MOST_ADDRESSES else ""
    summary = f"{count} address{'es' if count > 1 else ''}{more} in {found.lookup_ms} ms"
    faults = [fault for query in ("a", "aaaa") if (fault := _family_fault(found, query))]
    if found.lookup_ms > SLOW_LOOKUP_MS:
        faults.append(f"the name took {found.lookup_ms / 1000:.1f} s to resolve")
    return Verdict.WARN if faults else Verdict.OK, "; ".join((summary, *faults))


def _family_fault(found: Resolution, query: str) -> str | None:
    """Return what is wrong with one record type of a name whose other type resolves, if anything is.

    A type is at fault if no address of it was found and no resolver answered the question, although they answer it
    for the other type. NXDOMAIN for one type of a name that exists makes resolvers deny the whole name (RFC 8020).
    """
    family, other = _FAMILIES[query], "aaaa" if query == "a" else "a"
    codes = found.codes(query)
    if any(each.family == family for each in found.addresses) or ReplyCode.NOERROR in codes:
        return None
    if not codes or ReplyCode.NOERROR not in found.codes(other):
        # The name comes from a search domain or a hosts file, so the replies are about another name.
        return None
    return f"the {query.upper()} query was {_answered(codes)}"


def _without_address(run: ProbeRun, found: Resolution) -> tuple[Verdict, str]:
    """Return what is known of a name without an address: a fault of the name, or of our resolvers.

    A host name that came with the alert as an identifier need not be in any resolver.
    """
    if (disagreement := _disagreement(found)) is not None:
        return Verdict.UNKNOWN, disagreement
    if any(reply.addresses for reply in found.about_name):
        return Verdict.UNKNOWN, "the resolver answers with an address, and the look-up of the name found none"
    if (fault := _fault_of_name(found)) is None:
        return Verdict.UNKNOWN, _fault_of_resolvers(run, found)
    if run.identifier:
        return Verdict.UNKNOWN, f"a host name of the alert that our resolvers have no address for: {fault}"
    return Verdict.FAIL, fault


def _disagreement(found: Resolution) -> str | None:
    """Return which resolvers gave an address of the name while another, which clients listened to, denied it."""
    knowing = dict.fromkeys(reply.server for reply in found.about_name if reply.addresses)
    denying = [reply for reply in found.about_name if reply.code.is_answer and reply.server not in knowing]
    if not knowing or not denying:
        return None
    words = {ReplyCode.NOERROR: "no address"}
    answers = dict.fromkeys(f"{words.get(reply.code, reply.code)} from {reply.server}" for reply in denying)
    return f"the resolvers disagree: {', '.join(answers)}, an address from {', '.join(knowing)}"


def _fault_of_name(found: Resolution) -> str | None:
    """Return what is wrong with the name, by the resolvers' answer, or as they answer for the root only."""
    codes = found.codes("a", "aaaa")
    if any(reply.truncated for reply in found.about_name):
        return None
    if ReplyCode.NXDOMAIN in codes:
        missing = "no such name (NXDOMAIN)"
        return f"alias of {found.alias}, and there is {missing}" if found.alias else missing
    if ReplyCode.NOERROR in codes:
        return _fault_of_record(found)
    if ReplyCode.NOERROR in found.codes(KNOWN) and codes & {ReplyCode.SERVFAIL, ReplyCode.TIMEOUT}:
        return f"queries for the name were {_answered(codes)}, while the resolver answers for the root"
    return None


def _fault_of_record(found: Resolution) -> str | None:
    """Return what is wrong with a name that exists: it has no address, or a query for one type is not answered."""
    for query, other in (("a", "AAAA"), ("aaaa", "A")):
        codes = found.codes(query)
        if ReplyCode.MALFORMED in codes and ReplyCode.NOERROR not in codes:
            return None
        if codes and ReplyCode.NOERROR not in codes:
            return f"the {query.upper()} query was {_answered(codes)}, and the name has no {other} record"
    return f"alias of {found.alias}, which has no address" if found.alias else "the name has no address"


def _fault_of_resolvers(run: ProbeRun, found: Resolution) -> str:
    codes = found.codes("a", "aaaa")
    if not found.replies:
        return "the container has no resolver"
    servers = ", ".join(dict.fromkeys(reply.server for reply in found.replies))
    if any(reply.truncated for reply in found.about_name):
        # musl resolves no name with an underscore; what does, does not ask over TCP.
        by_udp = "_" in endpoint_of(run).host
        rest = "such names are asked for over UDP only" if by_udp else "it gave none over TCP"
        return f"the resolver's answer was cut off, and {rest}"
    if codes == {ReplyCode.TIMEOUT}:
        return f"no resolver answered ({servers})"
    failures = {code for code in codes if not code.is_answer} or codes
    return f"the resolver did not answer the question ({_listed(failures)} from {servers})"


def _answered(codes: set[ReplyCode]) -> str:
    return "not answered" if codes == {ReplyCode.TIMEOUT} else f"answered {_listed(codes)}"


def _listed(codes: set[ReplyCode]) -> str:
    words = {ReplyCode.TIMEOUT: "not at all", ReplyCode.MALFORMED: "with something that is not DNS"}
    return ", ".join(sorted(words.get(code, str(code)) for code in codes))


# --- the connection -----------------------------------------------------------------------------------


def read_attempts(found: Resolution, measured: Measurements) -> tuple[Attempt, ...]:
    """Return what came of contacting each address.

    :raises MissingMeasurementError: the container contacted something else than what it found.
    """
    by_text = {each.address: each for each in found.addresses} | {PROXY.address: PROXY}
    numbers = [key.removeprefix("address-") for key in measured.values if key.startswith("address-")]
    attempts = []
    for number in sorted(numbers, key=lambda number: int(number) if number.isdecimal() else 0):
        if (address := by_text.get(measured.text(f"address-{number}"))) is None:
            raise MissingMeasurementError(f"address-{number}")
        attempts.append(_attempt(address, measured, number))
    return tuple(attempts)


def _attempt(where: Address, measured: Measurements, number: str) -> Attempt:
    trace, knock = measured.text(f"trace-{number}"), measured.words(f"knock-{number}")
    if knock and knock[0] == _OPEN:
        return Attempt(address=where, outcome=Outcome.OPEN, connect_ms=measured.elapsed_ms(f"knock-{number}"))
    transfer = measured.json(f"result-{number}")
    if knock:
        # The second connection, made for its reason, may have succeeded: then only some do.
        return Attempt(address=where, outcome=_outcome(transfer, trace), transfer=transfer, trace=trace)
    return Attempt(
        address=where,
        outcome=_outcome(transfer, trace),
        connect_ms=round(float(transfer.get("time_connect") or 0) * 1000),
        transfer=transfer,
        verified=measured.json(f"verified-{number}") if measured.has(f"verified-{number}") else None,
        headers=measured.values.get(f"headers-{number}", b""),
        body=measured.values.get(f"body-{number}", b""),
        trace=trace,
        sent=measured.text(f"sent-{number}"),
        authorities=measured.text("authorities"),
        proxied=where is PROXY,
    )


def _outcome(transfer: dict[str, Any], trace: str) -> Outcome:
    """Return what came of the connection; only the choice between reasons of a failure rests on curl's words."""
    if transfer.get("num_connects") or transfer.get("http_code"):
        return Outcome.OPEN
    reasons = " ".join(_FAILED.findall(trace)).lower()
    if "refused" in reasons:
        return Outcome.REFUSED
    if "reset" in reasons:
        return Outcome.RESET
    if "unreachable" in reasons or "no route" in reasons:
        return Outcome.UNREACHABLE
    if transfer.get("exitcode") == _TIMED_OUT or "timed out" in reasons:
        return Outcome.TIMEOUT
    return Outcome.FAILED


def assess_connection(run: ProbeRun, found: Resolution, attempts: Sequence[Attempt]) -> Stage:
    """Return whether the port accepts connections, at every address that can be contacted from here."""
    port = endpoint_of(run).port
    notes = _unchecked(found, attempts)
    counted = [each for each in attempts if not (_is_silent(each) and each.address.is_doubtful)]
    if not counted:
        reason = "; ".join(notes) or "no address could be contacted"
        return Stage(name=StageName.CONNECTION, verdict=Verdict.UNKNOWN, summary=f"not checked: {reason}")
    opened = [each for each in counted if each.outcome is Outcome.OPEN]
    faults = "; ".join(f"{each.outcome} at {each.address.address}" for each in counted if each not in opened)
    flaky = [each.address.address for each in opened if each.connect_ms is None]
    took = min((each.connect_ms for each in opened if each.connect_ms is not None), default=None)
    if not opened:
        verdict, summary = Verdict.FAIL, f"port {port}: {faults}"
    elif faults:
        verdict, summary = Verdict.WARN, f"port {port} open at {len(opened)} of {len(counted)} addresses; {faults}"
    elif flaky:
        verdict, summary, took = Verdict.WARN, f"port {port}: 1 of 2 attempts failed at {', '.join(flaky)}", None
    else:
        verdict = Verdict.OK
        summary = f"port {port} open at {len(opened)} addresses" if len(opened) > 1 else f"port {port} open"
    text = "; ".join((summary, *notes))
    return Stage(name=StageName.CONNECTION, verdict=verdict, summary=text, duration_ms=took)


def _is_silent(attempt: Attempt) -> bool:
    return attempt.outcome in {Outcome.TIMEOUT, Outcome.UNREACHABLE, Outcome.FAILED}


def _unchecked(found: Resolution, attempts: Sequence[Attempt]) -> list[str]:
    """Return which addresses were not contacted, or whose silence says nothing, and why."""
    notes = []
    without_route = [each for each in found.addresses if not each.source]
    for family in dict.fromkeys(each.family for each in without_route):
        addresses = [each.address for each in without_route if each.family == family]
        shown = ", ".join(addresses[:2]) + (f" and {len(addresses) - 2} more" if len(addresses) > 2 else "")  # noqa: PLR2004
        notes.append(f"{family} not checked: this container has no route to {shown}")
    tried = {each.address.address for each in attempts}
    if left := [each for each in found.addresses if each.source and each.address not in tried]:
        least = "at least " if len(found.addresses) >= MOST_ADDRESSES else ""
        more = "1 more address was" if len(left) == 1 else f"{least}{len(left)} more addresses were"
        notes.append(f"{more} not contacted")
    doubtful = [each.address for each in attempts if _is_silent(each) and each.address.is_doubtful]
    for family in dict.fromkeys(each.family for each in doubtful):
        where = ", ".join(each.address for each in doubtful if each.family == family)
        ours = "without a public IPv6 address" if family == "IPv6" else "in an internal network"
        notes.append(f"{family} not checked: {where} does not answer a container {ours}")
    return notes


def not_reached(stages: Sequence[StageName], cause: Stage) -> tuple[Stage, ...]:
    """Return the later stages of a check that an earlier one kept from being reached."""
    return tuple(Stage(name=name, verdict=Verdict.SKIPPED, summary=f"not reached: {cause.name}") for name in stages)
