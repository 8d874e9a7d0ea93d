"""The DNS server that other tests lean on, asked by dnspython's client."""

from __future__ import annotations

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.update
import pytest

from tests.support.dns import DnsServer


def ask(server: DnsServer, name: str, kind: str, *, tcp: bool = False, timeout: float = 5) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    send = dns.query.tcp if tcp else dns.query.udp
    return send(query, server.host, port=server.port, timeout=timeout)


def values(answer: dns.message.Message) -> list[str]:
    return sorted(record.to_text() for rrset in answer.answer for record in rrset)


@pytest.mark.parametrize("tcp", [False, True])
def test_what_is_set_is_answered_over_udp_and_tcp(dns_server: DnsServer, tcp: bool) -> None:
    dns_server.set_txt("_acme-challenge.A.example", "one", 'two "quoted"')
    answer = ask(dns_server, "_ACME-challenge.a.example", "TXT", tcp=tcp)
    assert values(answer) == ['"one"', '"two \\"quoted\\""']
    assert dns_server.queries == [("_acme-challenge.a.example", "TXT")]


def test_an_unknown_name_does_not_exist_and_a_known_one_without_the_type_is_empty(dns_server: DnsServer) -> None:
    dns_server.set_a("a.example", "127.0.0.1")
    assert ask(dns_server, "b.example", "A").rcode() == dns.rcode.NXDOMAIN
    empty = ask(dns_server, "a.example", "TXT")
    assert (empty.rcode(), values(empty)) == (dns.rcode.NOERROR, [])
    assert ask(dns_server, "example", "A").rcode() == dns.rcode.NOERROR


def test_an_alias_is_answered_with_its_targets_records(dns_server: DnsServer) -> None:
    dns_server.set_cname("_acme-challenge.a.example", "proof.b.example")
    dns_server.set_txt("proof.b.example", "x")
    assert values(ask(dns_server, "_acme-challenge.a.example", "TXT")) == ['"x"', "proof.b.example."]


def test_a_long_answer_is_truncated_over_udp_and_whole_over_tcp(dns_server: DnsServer) -> None:
    dns_server.set_txt("a.example", *(f"{number}" * 200 for number in range(10)))
    answer = ask(dns_server, "a.example", "TXT")
    assert (answer.flags & dns.flags.TC, values(answer)) == (dns.flags.TC, [])
    assert len(values(ask(dns_server, "a.example", "TXT", tcp=True))) == 10


def test_a_zone_has_its_top(dns_server: DnsServer) -> None:
    dns_server.add_zone("a.example")
    assert values(ask(dns_server, "a.example", "SOA"))
    below = ask(dns_server, "_acme-challenge.www.a.example", "SOA")
    assert [rrset.name.to_text() for rrset in below.authority] == ["a.example."]


def test_a_program_may_update_records(dns_server: DnsServer) -> None:
    dns_server.add_zone("a.example")
    update = dns.update.UpdateMessage("a.example")
    update.add("_acme-challenge", 60, "TXT", "proof")
    assert dns.query.udp(update, dns_server.host, port=dns_server.port).rcode() == dns.rcode.NOERROR
    assert dns_server.values("_acme-challenge.a.example", "TXT") == ['"proof"']
    update = dns.update.UpdateMessage("a.example")
    update.delete("_acme-challenge", "TXT", "proof")
    dns.query.tcp(update, dns_server.host, port=dns_server.port)
    assert dns_server.values("_acme-challenge.a.example", "TXT") == []


def test_it_fails_and_dawdles_when_told_to(dns_server: DnsServer) -> None:
    dns_server.failures["a.example"] = "SERVFAIL"
    assert ask(dns_server, "a.example", "TXT").rcode() == dns.rcode.SERVFAIL
    dns_server.delays["b.example"] = 0.5
    with pytest.raises(dns.exception.Timeout):
        ask(dns_server, "b.example", "TXT", timeout=0.1)
