from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.enroll.acme.problems import Identifier
from troth.enroll.acme.validate.http01 import HttpPorts, _Target
from troth.enroll.acme.validate.outcome import NotShown

PORTS = HttpPorts(5080, 5443)
NAME = Identifier("dns", "www.example.org")
SIX = Identifier("ip", "2001:db8::1")


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "path"),
    [
        ("http://www.example.org/a", "www.example.org:5080", 5080, False, "/a"),
        ("http://other.example/a?b=c&d", "other.example:5080", 5080, False, "/a?b=c&d"),
        ("https://other.example", "other.example:5443", 5443, True, "/"),
        ("https://OTHER.example:5443/#part", "other.example:5443", 5443, True, "/"),
        ("https://other.example:5080/", "other.example:5080", 5080, True, "/"),
        ("http://_srv.a-b.example./x", "_srv.a-b.example:5080", 5080, False, "/x"),
    ],
)
def test_a_plain_url_is_taken_apart(url: str, host: str, port: int, tls: bool, path: str) -> None:
    target = _Target.of(url, PORTS, NAME)
    assert (target.host, target.port, target.tls, target.path) == (host, port, tls, path)


def test_the_usual_ports_do_not_show_in_the_host_header() -> None:
    assert _Target.of("http://a.example/", HttpPorts(), NAME).host == "a.example"
    assert _Target.of("https://a.example/", HttpPorts(), NAME).host == "a.example"


def test_an_ipv6_identifier_stands_in_brackets() -> None:
    target = _Target.of("http://[2001:db8::1]:5080/", PORTS, SIX)
    assert target.host == "[2001:db8::1]:5080"
    assert target.identifier == SIX


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/", "file:///etc/passwd", "gopher://a.example:5080/", "//a.example/", "a.example", "",
        "http://a.example:22/", "http://a.example:80/", "http://a.example:0/", "http://a.example:99999/",
        "http://a.example:x/", "http://user@a.example/", "http://user:pass@a.example:5080/", "http://@a.example/",
        "http:///path", "http://:5080/", "http://127.0.0.1/", "http://[::1]/", "http://[::1/", "http://[fe80::1%25eth0]/",
        "http://2130706433/", "http://127.1/", "http://0x7f.0.0.1/", "http://a..example/", "http://-a.example/",
        "http://" + "a" * 64 + ".example/", "http://" + "a." * 130 + "example/", "http://ä.example/",
        "http://a.example/\r\nX-Injected: 1", "http://a.example/ b", "http://a.example/\x00", "http://a b.example/",
        "http://a.example/" + "x" * 2000, "http://a\\b.example/", "http://a.example\\@b.example/", "http://[2001:db8::2]/",
    ],
)  # fmt: skip
def test_a_redirect_to_anything_else_is_refused(url: str) -> None:
    with pytest.raises(NotShown) as refused:
        _Target.of(url, PORTS, NAME)
    assert not refused.value.retryable


@given(st.text(max_size=60), st.sampled_from(["", "http://", "https://", "http://a.example", "http://a.example:5080/"]))
def test_whatever_passes_makes_a_single_request_line(tail: str, head: str) -> None:
    try:
        target = _Target.of(head + tail, PORTS, NAME)
    except NotShown:
        return
    assert target.port in (5080, 5443)
    for part in (target.path, target.host):
        assert part.isascii()
        assert part.isprintable()
        assert " " not in part
