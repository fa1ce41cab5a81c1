"""Build DNS queries and parse any reply."""

from __future__ import annotations

from dnslib import AAAA, CNAME, QTYPE, RCODE, RR, A, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.probes.dns import ReplyCode, queries, query, read_reply


def reply_to(message: bytes, *, code: str = "NOERROR", truncated: bool = False) -> bytes:
    reply = DNSRecord.parse(message).reply()
    reply.header.rcode = getattr(RCODE, code)
    reply.header.tc = int(truncated)
    name = reply.q.qname
    if code == "NOERROR" and not truncated:
        reply.add_answer(RR(name, QTYPE.CNAME, rdata=CNAME("b.example")))
        reply.add_answer(RR("b.example", QTYPE.A, rdata=A("192.0.2.1")))
        reply.add_answer(RR("b.example", QTYPE.AAAA, rdata=AAAA("2001:db8::1")))
    return bytes(reply.pack())


def test_query_is_parsed_by_dnslib() -> None:
    parsed = DNSRecord.parse(query("checkout.example.com", "aaaa"))
    assert (str(parsed.q.qname), QTYPE[parsed.q.qtype], parsed.header.rd) == ("checkout.example.com.", "AAAA", 1)


def test_queries_cover_both_address_families_and_the_root() -> None:
    assert [each.partition(":")[0] for each in queries("a.example").split()] == ["known", "a", "aaaa"]
    assert [each.partition(":")[0] for each in queries(None).split()] == ["known"]


def test_reply_with_addresses() -> None:
    reply = read_reply("a-10.0.0.2", reply_to(query("a.example", "a")))
    assert (reply.query, reply.server, reply.code) == ("a", "10.0.0.2", ReplyCode.NOERROR)
    assert reply.addresses == ("192.0.2.1", "2001:db8::1")


def test_incomplete_reply_is_malformed() -> None:
    reply = reply_to(query("a.example", "a"))
    truncated = read_reply("a-10.0.0.2", reply[:-6])
    assert (truncated.code, truncated.addresses) == (ReplyCode.MALFORMED, ())
    assert read_reply("a-10.0.0.2", reply + bytes(20)).code is ReplyCode.NOERROR


def test_reply_codes() -> None:
    message = query("a.example", "a")
    for code in ("NXDOMAIN", "SERVFAIL", "REFUSED", "NOTIMP"):
        assert read_reply("a-x", reply_to(message, code=code)).code == code
    assert read_reply("a-x", reply_to(message, code="YXDOMAIN")).code is ReplyCode.OTHER
    assert read_reply("a-x", b"").code is ReplyCode.TIMEOUT
    assert read_reply("a-x", reply_to(message, truncated=True)).truncated


def test_invalid_reply_is_malformed() -> None:
    message = query("a.example", "a")
    for other in (message, b"no DNS at all", b"\x00\x01" + reply_to(message)[2:], reply_to(message)[:8]):
        assert read_reply("a-x", other).code is ReplyCode.MALFORMED


@given(st.binary(max_size=600))
def test_any_reply_is_accepted(message: bytes) -> None:
    read_reply("a-x", message)
    read_reply("a-x", reply_to(query("a.example", "a"))[:12] + message)
