"""The words a condition may use: every attribute, its type, and who says it.

A policy that names anything else is refused when it is applied, with the nearest known name. CEL by itself would take
``posture.complaint == true`` and answer an error at three in the morning.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from troth.kit.words import Word

#: Longest list a condition is let loose on: expressions loop over lists, and CEL has no cost limit of its own.
MAX_LIST = 1024
MAX_TEXT = 4096


class Type(Word):
    """The types of values. There are no fractions: a score is an integer, and so every record is exact."""

    BOOL = "bool"
    INT = "int"
    STRING = "string"
    TIME = "timestamp"
    DURATION = "duration"
    STRINGS = "list(string)"
    INTS = "list(int)"

    @property
    def called(self) -> str:
        """With its article: ``a bool``, ``an int``."""
        return f"an {self.value}" if self is Type.INT else f"a {self.value}"

    @property
    def element(self) -> Type | None:
        """Of a list: the type of what is in it."""
        return _ELEMENTS.get(self)


_ELEMENTS = {Type.STRINGS: Type.STRING, Type.INTS: Type.INT}


@dataclass(frozen=True, slots=True)
class Attribute:
    """One word of the vocabulary."""

    type: Type
    meaning: str


def _words(root: str, **words: tuple[Type, str]) -> dict[str, Attribute]:
    return {f"{root}.{name}": Attribute(*word) for name, word in words.items()}


VOCABULARY: Mapping[str, Attribute] = {
    **_words(
        "request",
        profile=(Type.STRING, "the certificate profile asked for"),
        protocol=(Type.STRING, "the door: acme, est, api …"),
        names=(Type.STRINGS, "DNS names asked for"),
        lifetime=(Type.DURATION, "lifetime asked for"),
        key_type=(Type.STRING, "the key's type: p256, rsa2048 …"),
        address=(Type.STRING, "IP address of the caller"),
        account=(Type.STRING, "the account that asks"),
    ),
    **_words(
        "evidence",
        controlled_names=(Type.STRINGS, "names over which control was proved for this request"),
        methods=(
            Type.STRINGS,
            "how: http-01, dns-01, tls-alpn-01, device-attest-01, preauthorized, operator, enrolment, "
            "certificate, bootstrap-certificate",
        ),
        attested=(Type.BOOL, "a hardware attestation was verified"),
        attestation_format=(Type.STRING, "who attested: apple, tpm, android-key or step"),
        attestation_digest=(Type.STRING, "SHA-256 of the statement, in hexadecimal"),
        attested_at=(Type.TIME, "when the hardware attested"),
        attestation_key=(Type.STRING, "SHA-256 of the TPM's attestation key, in hexadecimal"),
        hardware_module=(Type.STRING, "hardware module name that the attestation vouches for: SERIAL/TYPE"),
        hardware_key=(Type.BOOL, "the key is proved to live in hardware"),
        operator=(Type.STRING, "the administrator or operator who asked, where a person did"),
        possession=(Type.BOOL, "the caller proved to hold the private key"),
        key_assurance=(Type.STRING, "where the key lives: attested, mdm-asserted (its manager says so) or unproven"),
        hardware_serial=(Type.STRING, "serial number that the hardware attests"),
        endorsement=(Type.STRING, "who says which TPM it is: certificate (its maker, and an operator) or registered"),
        permanent_identifier=(Type.STRING, "permanent identifier that the attestation vouches for"),
        udid=(Type.STRING, "unique device identifier that Apple attests"),
        imei=(Type.STRING, "IMEI that Android's hardware attests"),
        second_imei=(Type.STRING, "second IMEI that Android's hardware attests"),
        managed_device=(Type.STRING, "device identifier in a certificate of smallstep's kind"),
        manufacturer=(Type.STRING, "maker that the hardware attests"),
        brand=(Type.STRING, "brand that the hardware attests"),
        model=(Type.STRING, "model that the hardware attests"),
        software_update_id=(Type.STRING, "Apple's name for the model: J514sAP"),
        firmware_version=(Type.STRING, "firmware of a security key: 5.7.4"),
        form_factor=(Type.STRING, "of a security key: usb-a keychain, usb-c nano …"),
        fips=(Type.BOOL, "the security key is a FIPS one"),
        pin_policy=(Type.STRING, "when a security key asks for its PIN: never, once, always"),
        touch_policy=(Type.STRING, "when a security key asks for a touch: never, always, cached"),
        os_version=(Type.STRING, "version of the operating system that the hardware attests"),
        sepos_version=(Type.STRING, "version of Apple's secure enclave system"),
        boot_loader_version=(Type.STRING, "version of Apple's boot loader"),
        os_patch_level=(Type.INT, "Android's security patches, as year and month: 202611"),
        vendor_patch_level=(Type.INT, "patches of the device's maker, as a date: 20261105"),
        boot_patch_level=(Type.INT, "patches of the boot image, as a date: 20261105"),
        security_level=(Type.STRING, "where Android keeps the key: software, trusted_environment, strong_box"),
        boot_state=(Type.STRING, "what Android booted: verified, self_signed, unverified, failed"),
        boot_locked=(Type.BOOL, "Android's boot loader is locked"),
        secure_boot=(Type.STRING, "of a Mac: Full Security, Reduced Security, Permissive Security"),
        sip_enabled=(Type.BOOL, "system integrity protection of a Mac is on"),
        kernel_extensions_allowed=(Type.BOOL, "a Mac allows kernel extensions of third parties"),
        certificates_issued=(Type.INT, "attestation certificates that Android's provisioning gave the device lately"),
        tpm_manufacturer=(Type.STRING, "maker of the TPM: id:49465800"),
        tpm_model=(Type.STRING, "model of the TPM"),
        tpm_version=(Type.STRING, "version of the TPM: id:00010002"),
        tpm_firmware=(Type.STRING, "firmware version of the TPM, in hexadecimal"),
        tpm_reset_count=(Type.INT, "how often the TPM was reset"),
        tpm_restart_count=(Type.INT, "how often the TPM was resumed or restarted since its reset"),
        tpm_clock_safe=(Type.BOOL, "the TPM's clock has not gone back"),
        node=(Type.STRING, "the host whose agent asks for a workload, by its own certificate"),
        node_kind=(Type.STRING, "what that host is in the directory: device or workload"),
        node_groups=(Type.STRINGS, "groups that host is in"),
        node_standing=(Type.STRING, "that host's standing"),
        node_attested=(Type.BOOL, "hardware vouched for the key of that host's certificate"),
        token_issuer=(Type.STRING, "whose token opened the account, as the configuration calls it: github, cluster-a"),
        token_subject=(Type.STRING, "whom that token was about: repo:org/shop:ref:refs/heads/main"),
        token_claims=(Type.STRINGS, "claims of that token that its rule looked at: repository=org/shop"),
        bootstrap_anchor=(
            Type.STRING,
            "the foreign trust anchor that vouched for what an EST client showed",
        ),
        selectors=(Type.STRINGS, "what that host's agent saw of the process: unix:uid:1000, systemd:shop.service"),
    ),
    **_words(
        "certificate",
        key_assurance=(Type.STRING, "key assurance that the certificate records: attested, mdm-asserted or unproven"),
        issuer=(Type.STRING, "of the one that is shown: the authority that issued it"),
        serial=(Type.STRING, "its serial number, in hexadecimal"),
        sha256=(Type.STRING, "its SHA-256, in hexadecimal"),
        profile=(Type.STRING, "the profile that it was issued for"),
        status=(Type.STRING, "good, held or revoked"),
        issued_at=(Type.TIME, "when it was issued"),
        not_before=(Type.TIME, "its notBefore"),
        not_after=(Type.TIME, "its notAfter"),
        age=(Type.DURATION, "time since it was issued"),
        remaining=(Type.DURATION, "time until it ends"),
        names=(Type.STRINGS, "its subject alternative names: dns:www.example.com, uri:…"),
        usages=(Type.STRINGS, "its extended key usages: clientAuth, serverAuth, or their numbers"),
    ),
    **_words(
        "application",
        name=(Type.STRING, "the application that asks whether to let somebody in"),
        action=(Type.STRING, "what is to be done there"),
        resource_type=(Type.STRING, "the type of what it is to be done to"),
        resource=(Type.STRING, "which one: its identifier, or method and path"),
    ),
    **_words(
        "nas",
        identifier=(Type.STRING, "the network access server's NAS-Identifier"),
        address=(Type.STRING, "its IP address"),
        port_type=(Type.STRING, "wireless, ethernet, virtual …: its NAS-Port-Type"),
        ssid=(Type.STRING, "the wireless network that is joined"),
        site=(Type.STRING, "where it stands"),
    ),
    **_words(
        "place",
        site=(Type.STRING, "the site that the access server, or else the caller's address, belongs to"),
        country=(Type.STRING, "that site's country: DE"),
    ),
    **_words(
        "subject",
        kind=(Type.STRING, "user, device or workload"),
        name=(Type.STRING, "its name"),
        groups=(Type.STRINGS, "groups it is in"),
        standing=(Type.STRING, "trusted, restricted, quarantined or distrusted"),
        protected=(Type.BOOL, "enforcement only alarms about it"),
        origin=(Type.STRING, "the directory source or door that made it known"),
    ),
    **_words(
        "user",
        name=(Type.STRING, "the user's name; of a device or workload: its owner's"),
        enabled=(Type.BOOL, "the account is enabled"),
        email=(Type.STRING, "mail address"),
        upn=(Type.STRING, "user principal name: alice@corp.example"),
        sid=(Type.STRING, "security identifier in Active Directory: S-1-5-21-…"),
        display_name=(Type.STRING, "the name that people call the user by"),
        department=(Type.STRING, "department"),
        groups=(Type.STRINGS, "groups the user is in"),
    ),
    **_words(
        "device",
        name=(Type.STRING, "the device's name"),
        managed=(Type.BOOL, "under management"),
        serial=(Type.STRING, "serial number"),
        udid=(Type.STRING, "unique device identifier that its manager knows it by"),
        attestation_key=(Type.STRING, "SHA-256 of its TPM's attestation key, where the key's certificate names nobody"),
        sid=(Type.STRING, "security identifier in Active Directory"),
        platform=(Type.STRING, "windows, macos, linux, ios, android …"),
        model=(Type.STRING, "model"),
        groups=(Type.STRINGS, "groups the device is in"),
        trusts_roots=(Type.STRINGS, "SHA-256 of the roots in its trust store, in hexadecimal"),
        checked_at=(Type.TIME, "when it last reported to its manager"),
    ),
    **_words(
        "workload",
        name=(Type.STRING, "the workload's name"),
        environment=(Type.STRING, "production, staging …"),
        trust_domain=(Type.STRING, "SPIFFE trust domain: corp.example"),
        nodes=(Type.STRINGS, "hosts, or groups of hosts, whose agents may ask for it"),
        groups=(Type.STRINGS, "groups the workload is in"),
    ),
    **_words(
        "posture",
        compliant=(Type.BOOL, "the manager calls the device compliant"),
        disk_encrypted=(Type.BOOL, "full disk encryption is on"),
        firewall=(Type.BOOL, "the host firewall is on"),
        screen_lock=(Type.BOOL, "a screen lock is set"),
        os_version=(Type.STRING, "version of the operating system"),
        os_supported=(Type.BOOL, "the operating system still gets security updates"),
        edr_running=(Type.BOOL, "the EDR sensor runs"),
        score=(Type.INT, "how well the device is kept by its EDR's assessment, 0 to 100"),
        jailbroken=(Type.BOOL, "the device is jailbroken or rooted"),
        secure_boot=(Type.BOOL, "the firmware starts signed systems only"),
        reboot_required=(Type.BOOL, "an update is installed that counts only after a restart"),
        updates_pending=(Type.INT, "updates that are to be had and not installed"),
    ),
    **_words(
        "signals",
        open=(Type.STRINGS, "kinds of the open causes that weigh on the subject, one for each: edr.intrusion"),
        feeds=(Type.STRINGS, "who raised them"),
        classes=(Type.STRINGS, "their classes of source: edr, mdm, idp, network, integrity, generic, person"),
        restricted=(Type.STRINGS, "kinds of those that alone would restrict it"),
        quarantined=(Type.STRINGS, "kinds of those that alone would quarantine it"),
        distrusted=(Type.STRINGS, "kinds of those that alone would distrust it"),
        count=(Type.INT, "how many open causes there are"),
        severity=(Type.INT, "the greatest severity among them, 0 to 100"),
        score=(Type.INT, "what they come to, weighed as for the standing: 0 to 100"),
        newest=(Type.TIME, "when the latest of them was raised; missing if there is none"),
        oldest=(Type.TIME, "when the first of them was raised; missing if there is none"),
    ),
    **_words(
        "risk",
        score=(Type.INT, "0 (none) to 100"),
        level=(Type.STRING, "low, medium (from 50) or high (from 80), by the greater of risk.score and signals.score"),
    ),
    **_words(
        "time",
        now=(Type.TIME, "the moment of the decision"),
        hour=(Type.INT, "hour of the day in UTC, 0 to 23"),
        weekday=(Type.INT, "day of the week in UTC, 1 (Monday) to 7"),
        local_hour=(Type.INT, "hour of the day in the policy's time zone, 0 to 23"),
        local_minute=(Type.INT, "minute of that day, 0 to 1439"),
        local_weekday=(Type.INT, "day of the week in the policy's time zone, 1 (Monday) to 7"),
    ),
}

ROOTS = frozenset(path.partition(".")[0] for path in VOCABULARY)

#: Roots under which a policy or a directory may name attributes of its own (``attributes:`` in the policy file).
OPEN_ROOTS = frozenset({"posture", "user", "device", "workload", "evidence"})
#: Roots that facts may speak of; the others come from the door, the clock or the subject's row.
FACT_ROOTS = frozenset({"posture", "risk", "user", "device", "workload"})
#: Roots that are gathered for each decision: the facts, and what Troth itself has taken in of signals.
GATHERED_ROOTS = FACT_ROOTS | {"signals"}

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")


def is_path(path: str) -> bool:
    """Whether ``path`` has the form of an attribute: ``root.name``, lower-case."""
    root, dot, name = path.partition(".")
    return bool(dot) and root in ROOTS and _NAME.match(name) is not None


def nearest(word: str, known: Mapping[str, object] | frozenset[str] | set[str]) -> str | None:
    """The known word that ``word`` was probably meant to be, or None."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def misfit(value: Any, wanted: Type) -> str | None:
    """What keeps ``value`` (as JSON) from being a ``wanted``, as a clause; None if it fits."""
    element = wanted.element
    if element is not None:
        if not isinstance(value, (list, tuple)):
            return f"is {_called(value)}, not {wanted.called}"
        if len(value) > MAX_LIST:
            return f"has {len(value)} entries, more than the {MAX_LIST} a condition may look at"
        return next((wrong for item in value if (wrong := misfit(item, element))), None)
    if wanted is Type.BOOL:
        fits = isinstance(value, bool)
    elif wanted in (Type.INT, Type.DURATION):
        fits = isinstance(value, int) and not isinstance(value, bool) and -_MOST < value < _MOST
    elif wanted is Type.STRING:
        if isinstance(value, str) and len(value) > MAX_TEXT:
            return f"is longer than {MAX_TEXT} characters"
        fits = isinstance(value, str)
    else:
        fits = isinstance(value, str) and _time(value) is not None
    return None if fits else f"is {_called(value)}, not {wanted.called}"


# Enough for every whole number that JSON holds exactly.
_MOST = 1 << 53
_PLAIN = {Type.BOOL: bool, Type.INT: int, Type.STRING: str}


def fitted(value: Any, wanted: Type) -> tuple[Any, str | None]:
    """``value`` as CEL takes it (a time as datetime, a duration as timedelta), or None and why it does not fit."""
    kind = type(value)
    if kind is _PLAIN.get(wanted):
        if kind is bool:
            return value, None
        if (-_MOST < value < _MOST) if kind is int else len(value) <= MAX_TEXT:
            return value, None
    if wanted is Type.TIME and isinstance(value, str):
        found = _time(value)
        return (found, None) if found is not None else (None, misfit(value, wanted))
    wrong = misfit(value, wanted)
    if wrong is not None:
        return None, wrong
    return (timedelta(seconds=value) if wanted is Type.DURATION else value), None


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _called(value: Any) -> str:
    names = {bool: "a bool", int: "an int", str: "a string", list: "a list", type(None): "null", float: "a fraction"}
    return names.get(type(value), "of an unknown kind")
