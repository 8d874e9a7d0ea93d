"""Access rules of a place: what a client may reach, in one line each, and how vendors write the same.

    permit udp to any port 53
    permit tcp to 192.0.2.0/24 port 80-443
    permit tcp to 2001:db8::/32 port 443
    permit icmp to any
    deny ip to any

A rule is about traffic *from* the client; the first that matches decides. ``ip`` is every protocol; ``any`` every
address of both IPv4 and IPv6; ``icmp`` means ICMPv6 for IPv6. What no rule matches is denied: the closing ``deny ip to
any`` is always sent, since vendors differ in what follows the last rule.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Family: TypeAlias = Literal[4, 6]
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Dialect: TypeAlias = "Callable[[Rule, Family], str]"

#: The most rules of one place: the rules of a place fit into one packet.
MAX_RULES: Final = 64
_RULE: Final = re.compile(
    r"(?P<action>permit|deny) (?P<protocol>ip|tcp|udp|icmp) to (?P<to>[0-9A-Fa-f:./]{2,49}|any)"
    r"(?: port (?P<low>[0-9]{1,5})(?:-(?P<high>[0-9]{1,5}))?)?\Z"
)
_NUMBERS: Final = {("tcp", 4): 6, ("tcp", 6): 6, ("udp", 4): 17, ("udp", 6): 17, ("icmp", 4): 1, ("icmp", 6): 58}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``to``: None for any address. ``ports``: first and last; None for all."""

    action: Literal["permit", "deny"]
    protocol: Literal["ip", "tcp", "udp", "icmp"]
    to: Network | None
    ports: tuple[int, int] | None

    def families(self) -> tuple[Family, ...]:
        """The versions of IP that it speaks of."""
        return (4, 6) if self.to is None else (4,) if self.to.version == 4 else (6,)

    def __str__(self) -> str:
        ports = "" if self.ports is None else f" port {_span(self.ports)}"
        return f"{self.action} {self.protocol} to {self.to or 'any'}{ports}"


#: What stands after the last rule, said aloud.
CLOSING: Final = Rule("deny", "ip", None, None)


def parse_rule(text: str) -> Rule:
    """The rule that ``text`` is. Raises ValueError, in words for people."""
    found = _RULE.match(text)
    if found is None:
        raise ValueError("a rule reads: permit|deny ip|tcp|udp|icmp to ADDRESS/BITS|any [port N[-M]]")
    low, high, protocol, to = found["low"], found["high"], found["protocol"], found["to"]
    if low and protocol not in ("tcp", "udp"):
        raise ValueError(f"{protocol} has no ports")
    ports = (int(low), int(high or low)) if low else None
    if ports is not None and not 0 < ports[0] <= ports[1] <= 65_535:
        raise ValueError("ports are 1 to 65535, the lower first")
    try:
        network = None if to == "any" else ipaddress.ip_network(to)
    except ValueError as error:
        raise ValueError(f"{to!r} is no network: {error}") from error
    return Rule(found["action"], protocol, network, ports)  # type: ignore[arg-type]  # the pattern lets no others through


def closed(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """``rules`` with the closing rule, unless the last is about everything already."""
    last = rules[-1] if rules else None
    everything = last is not None and last.protocol == "ip" and last.to is None
    return tuple(rules) if everything else (*rules, CLOSING)


def of_family(rules: Sequence[Rule], family: Family) -> tuple[Rule, ...]:
    """Those that speak of one version of IP."""
    return tuple(rule for rule in rules if family in rule.families())


def ios(rule: Rule, family: Family) -> str:
    """As Cisco IOS writes extended ACLs: wildcards for IPv4, prefixes for IPv6."""
    protocol = rule.protocol if family == 4 or rule.protocol != "ip" else "ipv6"
    if rule.to is None:
        to = "any"
    elif rule.to.prefixlen == rule.to.max_prefixlen:
        to = f"host {rule.to.network_address}"
    elif isinstance(rule.to, ipaddress.IPv4Network):
        to = f"{rule.to.network_address} {rule.to.hostmask}"
    else:
        to = str(rule.to)
    ports = ""
    if rule.ports is not None:
        low, high = rule.ports
        ports = f" eq {low}" if low == high else f" range {low} {high}"
    return f"{rule.action} {protocol} any {to}{ports}"


def ipfilter(rule: Rule, family: Family) -> str:
    """An IPFilterRule (RFC 6733, section 4.3.1), as NAS-Filter-Rule carries it (RFC 4849)."""
    protocol = str(_NUMBERS["icmp", 6]) if rule.protocol == "icmp" and family == 6 else rule.protocol
    return f"{rule.action} in {protocol} from any to {_cidr(rule)}{_ports(rule)}"


def junos(rule: Rule, family: Family) -> str:
    """A term of Juniper-Switching-Filter. IPv4 alone: its match conditions know no others.

    A term without a match condition accepts whatever its action says (Junos, «VSA Match Conditions and Actions»), so
    every term names a destination, if need be the whole of IPv4.
    """
    matches = [
        f"destination-ip {rule.to or '0.0.0.0/0'}",
        *([f"ip-protocol {_NUMBERS[rule.protocol, family]}"] if rule.protocol != "ip" else []),
        *([f"destination-port {_span(rule.ports)}"] if rule.ports is not None else []),
    ]
    return f"match {', '.join(matches)} action {'allow' if rule.action == 'permit' else 'deny'}"


def routeros(rule: Rule, family: Family) -> str:
    """A rule of Mikrotik-Switching-Filter. IPv4 alone; one about everything is about every frame."""
    if rule.protocol == "ip" and rule.to is None:
        return f"action {'allow' if rule.action == 'permit' else 'drop'}"
    parts = [
        "mac-protocol 2048",
        *([f"dst-address {rule.to}"] if rule.to is not None else []),
        *([f"dst-port {_span(rule.ports)}"] if rule.ports is not None else []),
        *([f"protocol {_NUMBERS[rule.protocol, family]}"] if rule.protocol != "ip" else []),
        f"action {'allow' if rule.action == 'permit' else 'drop'}",
    ]
    return " ".join(parts)


DIALECTS: Final[Mapping[str, Dialect]] = {"ios": ios, "ipfilter": ipfilter, "junos": junos, "routeros": routeros}


def _cidr(rule: Rule) -> str:
    if rule.to is None:
        return "any"
    return str(rule.to.network_address) if rule.to.prefixlen == rule.to.max_prefixlen else str(rule.to)


def _ports(rule: Rule) -> str:
    return "" if rule.ports is None else f" {_span(rule.ports)}"


def _span(ports: tuple[int, int]) -> str:
    low, high = ports
    return str(low) if low == high else f"{low}-{high}"
