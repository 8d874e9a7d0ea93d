"""wpa_supplicant (wpa_supplicant.conf(5)) and NetworkManager (nm-settings-keyfile(5))."""

from __future__ import annotations

from troth.radius.supplicants.model import Joining


def wpa_supplicant(one: Joining) -> str:
    """A ``network`` block, with what a wired network needs before it.

    ``domain_match`` is the whole name, against subjectAltName; ``ocsp=1`` believes the stapled answer where there is
    one and ends the conversation where that says revoked.
    """
    head, lines = "", []
    if one.ssid is None:
        head = "ap_scan=0\n"
        lines += ["key_mgmt=IEEE8021X", "eapol_flags=0"]
    else:
        lines += [f"ssid={one.ssid.hex()}", "key_mgmt=WPA-EAP WPA-EAP-SHA256", "ieee80211w=1"]
    lines += [
        "eap=TLS", f'identity="{one.identity}"', f'ca_cert="{one.ca}"',
        f'domain_match="{";".join(one.server_names)}"', f'client_cert="{one.certificate}"',
        f'private_key="{one.key}"', 'phase1="tls_disable_tlsv1_0=1 tls_disable_tlsv1_1=1"', "ocsp=1",
    ]  # fmt: skip
    body = "".join(f"\t{line}\n" for line in lines)
    return f"# {one.ca}: the roots above the server, and no others\n{head}network={{\n{body}}}\n"


def network_manager(one: Joining) -> str:
    """A keyfile for /etc/NetworkManager/system-connections, which root alone may read.

    ``domain-match`` takes several names, separated by semicolons. The private key is read without a password.
    """
    wired = one.ssid is None
    name = one.name if one.name.isprintable() and not set(one.name) & set("\\;=[]") else "troth"
    sections: list[tuple[str, list[str]]] = [
        ("connection", [f"id={name}", f"uuid={one.id('networkmanager')}", f"type={'ethernet' if wired else 'wifi'}"]),
    ]
    if one.ssid is not None:
        octets = "".join(f"{octet};" for octet in one.ssid)
        sections += [("wifi", ["mode=infrastructure", f"ssid={octets}"]), ("wifi-security", ["key-mgmt=wpa-eap"])]
    sections += [
        ("802-1x", [
            "eap=tls;", f"identity={one.identity}", f"ca-cert={one.ca}", f"domain-match={';'.join(one.server_names)}",
            f"client-cert={one.certificate}", f"private-key={one.key}", "private-key-password-flags=4",
        ]),
        ("ipv4", ["method=auto"]), ("ipv6", ["method=auto"]),
    ]  # fmt: skip
    return "\n".join("\n".join((f"[{section}]", *lines, "")) for section, lines in sections)
