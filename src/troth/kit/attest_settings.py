"""Settings of device attestation: the section ``[attest]`` and its tables. See ``settings``."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct, field

Format: TypeAlias = Literal["apple", "tpm", "android-key", "step"]
Mode: TypeAlias = Literal["enforce", "warn", "observe"]


class DirectoryAttestation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the ACME directory NAME makes of device attestations."""

    formats: Annotated[
        tuple[Format, ...],
        Meta(min_length=1, description="Formats that are taken: Apple, TPM, Android, and `step` for YubiKeys."),
    ] = ("apple", "tpm", "android-key", "step")
    mode: Annotated[
        Mode,
        Meta(
            description="`enforce` refuses a statement that fails a check. `warn` and `observe` let it pass as one "
            "that proves nothing (policies see `evidence.attested` false) and record what would have been refused; "
            "`warn` says so in the log. Where policies do not ask for evidence, these two let anybody be any device."
        ),
    ] = "enforce"
    enforced: Annotated[
        tuple[str, ...], Meta(description="Profiles for which failing statements are refused, whatever the mode.")
    ] = ()
    observed: Annotated[
        tuple[str, ...], Meta(description="Profiles for which failing statements are only recorded, whatever the mode.")
    ] = ()
    about: Annotated[
        Literal["device", "owner"],
        Meta(
            description="Whom certificates are about: the device that attested, or the user to whom it belongs in the "
            "directory (log-on and signing keys on security keys)."
        ),
    ] = "device"
    rsa_sha1: Annotated[bool, Meta(description="Take TPM signatures of RSA with SHA-1, which Windows Hello makes.")] = (
        False
    )
    android_software: Annotated[
        bool, Meta(description="Take Android keys that live in no hardware: emulators, in a laboratory.")
    ] = False
    android_unlocked: Annotated[
        bool, Meta(description="Take Android devices with an open boot loader or a system that is not their maker's.")
    ] = False


class AttestSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Device attestation: what directories make of it, status lists of the makers, how long statements are kept."""

    directories: Annotated[
        dict[Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,31}\Z")], DirectoryAttestation],
        Meta(
            description="By the name of an ACME directory that offers device-attest-01, one table each: "
            "`[attest.directories.NAME]`, below. One without a table enforces, and takes all formats."
        ),
    ] = field(default_factory=dict)
    android_status_url: Annotated[
        str,
        Meta(
            description="Where the worker fetches Android's list of revoked attestation certificates; its host must be "
            "in `egress.hosts`. Empty: never; load it with `troth attest status load`."
        ),
    ] = ""
    refresh_seconds: Annotated[
        int, Meta(ge=300, le=86_400, description="Pause between two fetches.", extra={"unit": "seconds"})
    ] = 6 * 3600
    most_age_seconds: Annotated[
        int,
        Meta(
            ge=600,
            le=7 * 86_400,
            description="An older status list is none, and Android's attestations wait until there is a new one.",
            extra={"unit": "seconds"},
        ),
    ] = 86_400
    keep_reports_seconds: Annotated[
        int,
        Meta(
            ge=3600,
            description="How long decoded statements, and those that were refused, are kept; what an issuance rests on "
            "stays longer.",
            extra={"unit": "seconds"},
        ),
    ] = 400 * 86_400
