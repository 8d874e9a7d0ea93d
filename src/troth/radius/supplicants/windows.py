"""Profiles for ``netsh wlan add profile`` and ``netsh lan add profile``, and for Intune and group policy.

The schemas are Microsoft's: WLAN_profile v1, LAN_profile v1, OneX v1, EapTlsConnectionPropertiesV1 and V2. Windows
picks the device's certificate by itself («simple certificate selection») from the machine's store, does not ask the
user, and believes a server only under the roots whose thumbprints stand here and with the names that stand here.
A name without an asterisk is taken literally.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from troth.radius.supplicants.model import Joining, thumbprint

_MS = "http://www.microsoft.com/"
_WLAN, _LAN, _ONE_X = f"{_MS}networking/WLAN/profile/v1", f"{_MS}networking/LAN/profile/v1", f"{_MS}networking/OneX/v1"
_HOST, _COMMON = f"{_MS}provisioning/EapHostConfig", f"{_MS}provisioning/EapCommon"
_BASE = f"{_MS}provisioning/BaseEapConnectionPropertiesV1"
_TLS1, _TLS2 = (f"{_MS}provisioning/EapTlsConnectionPropertiesV{version}" for version in (1, 2))
_EAP_TLS = "13"


def windows(one: Joining) -> bytes:
    """The profile as XML: of a WLAN, or of wired ports."""
    if one.ssid is None:
        root = Element("LANProfile", xmlns=_LAN)
        security = SubElement(SubElement(root, "MSM"), "security")
        _texts(security, OneXEnforced="false", OneXEnabled="true")
    else:
        root = Element("WLANProfile", xmlns=_WLAN)
        _texts(root, name=one.name)
        ssid = SubElement(SubElement(root, "SSIDConfig"), "SSID")
        _texts(ssid, hex=one.ssid.hex().upper(), name=one.name)
        _texts(root, connectionType="ESS", connectionMode="auto")
        security = SubElement(SubElement(root, "MSM"), "security")
        encryption = SubElement(security, "authEncryption")
        _texts(encryption, authentication="WPA2", encryption="AES", useOneX="true")
    _one_x(security, one)
    indent(root)
    return b'<?xml version="1.0"?>\n' + tostring(root) + b"\n"


def _one_x(security: Element, one: Joining) -> None:
    one_x = SubElement(security, "OneX", xmlns=_ONE_X)
    _texts(one_x, cacheUserData="false", authMode="machine")
    host = SubElement(SubElement(one_x, "EAPConfig"), "EapHostConfig", xmlns=_HOST)
    method = SubElement(host, "EapMethod")
    for name, value in (("Type", _EAP_TLS), ("VendorId", "0"), ("VendorType", "0"), ("AuthorId", "0")):
        SubElement(method, name, xmlns=_COMMON).text = value
    eap = SubElement(SubElement(host, "Config", xmlns=_HOST), "Eap", xmlns=_BASE)
    _texts(eap, Type=_EAP_TLS)
    kind = SubElement(eap, "EapType", xmlns=_TLS1)
    store = SubElement(SubElement(kind, "CredentialsSource"), "CertificateStore")
    _texts(store, SimpleCertSelection="true")
    validation = SubElement(kind, "ServerValidation")
    _texts(validation, DisableUserPromptForServerValidation="true", ServerNames=";".join(one.server_names))
    for root in one.roots:
        octets = bytes.fromhex(thumbprint(root))
        _texts(validation, TrustedRootCA=" ".join(f"{octet:02x}" for octet in octets))
    _texts(kind, DifferentUsername="false")
    for name in ("PerformServerValidation", "AcceptServerName"):
        SubElement(kind, name, xmlns=_TLS2).text = "true"


def _texts(within: Element, **texts: str) -> None:
    for name, text in texts.items():
        SubElement(within, name).text = text
