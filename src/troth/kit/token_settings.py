"""Settings of platform tokens: the section ``[tokens]``. See ``settings``."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

Name = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,31}\Z")]
Seconds = Annotated[int, Meta(ge=1, le=86_400)]


class TokenRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a token gets whose claims are these. The first rule that fits counts; no rule, no credential."""

    claims: Annotated[
        dict[str, str],
        Meta(
            description="Claim → its whole value, or its beginning with `*` at the end; all must fit. A claim inside "
            "another is written with a slash: `kubernetes.io/namespace`."
        ),
    ]
    names: Annotated[
        tuple[str, ...],
        Meta(
            description="Names that the credential is for and vouches for; `{claim}` stands for a claim that is one "
            "DNS label."
        ),
    ]
    directories: Annotated[
        tuple[str, ...], Meta(description="ACME directories where it opens an account. Empty: all.")
    ] = ()
    profiles: Annotated[tuple[str, ...], Meta(description="Profiles that it may order. Empty: what they offer.")] = ()
    device: Annotated[
        str, Meta(description="Name of the device of the directory in whose name it acts; may hold `{claim}`.")
    ] = ""


Rules: TypeAlias = Annotated[
    dict[Name, TokenRule],
    Meta(description="Rules by name, tried in the order of their names: `[tokens.issuers.NAME.rules.RULE]`, below."),
]


class OidcIssuer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="oidc"):
    """OpenID Connect tokens: GitHub and GitLab CI, Kubernetes service accounts, Google's instance identities."""

    issuer: Annotated[str, Meta(description="Exactly what stands in `iss`.", min_length=1, max_length=500)]
    audience: Annotated[str, Meta(description="What must stand in `aud`: this installation's own word.", min_length=1)]
    jwks_url: Annotated[
        str,
        Meta(
            description="Where its keys are. Empty: what `ISSUER/.well-known/openid-configuration` says. The host must "
            "be in `egress.hosts` or its network in `egress.networks`.",
            pattern=r"\A(https://[^\s]+)?\Z",
        ),
    ] = ""
    jwks_file: Annotated[str, Meta(description="A file with its keys, in place of an address.")] = ""
    algorithms: Annotated[
        tuple[Literal["RS256", "ES256", "ES384", "ES512", "EdDSA"], ...], Meta(description="Accepted signatures.")
    ] = ("RS256",)
    max_age_seconds: Annotated[
        Seconds, Meta(description="A token is taken for this long after `iat`.", extra={"unit": "seconds"})
    ] = 3600
    rules: Rules


class AwsIssuer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="aws"):
    """AWS instance identity documents in their PKCS#7 form (`rsa2048`), one for each instance."""

    certificates_file: Annotated[
        str, Meta(description="AWS's certificates for the regions concerned, PEM; they are pinned.", pattern=r"\A/")
    ]
    accounts: Annotated[tuple[str, ...], Meta(description="Accounts whose instances count.", min_length=1)]
    max_age_seconds: Annotated[
        Seconds, Meta(description="An instance counts for this long after its start.", extra={"unit": "seconds"})
    ] = 900
    rules: Rules


class AzureIssuer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="azure"):
    """Azure attested documents of the instance metadata service (PKCS#7)."""

    roots_file: Annotated[
        str,
        Meta(
            description="Roots, and authorities in between, that the document's certificate leads to: PEM.",
            pattern=r"\A/",
        ),
    ]
    host: Annotated[
        str, Meta(description="Name that the document's certificate must have: that of the cloud's metadata service.")
    ] = "metadata.azure.com"
    subscriptions: Annotated[tuple[str, ...], Meta(description="Subscriptions that count.", min_length=1)]
    max_age_seconds: Annotated[
        Seconds, Meta(description="A document is taken for this long.", extra={"unit": "seconds"})
    ] = 900
    rules: Rules


TokenIssuer: TypeAlias = OidcIssuer | AwsIssuer | AzureIssuer


class TokenSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exchange of a platform's token for a credential that opens one ACME account (`POST /enroll/token`)."""

    issuers: Annotated[
        dict[Name, TokenIssuer],
        Meta(description="Whose tokens count, one table each: `[tokens.issuers.NAME]`, below."),
    ] = {}
    credential_seconds: Annotated[
        int, Meta(ge=60, le=86_400, description="How long the credential opens its account.", extra={"unit": "seconds"})
    ] = 600
    keep_days: Annotated[
        int,
        Meta(
            ge=1,
            description="A credential goes so long after its end, with its account, once that has no orders any more.",
            extra={"unit": "days"},
        ),
    ] = 30
    skew_seconds: Annotated[
        int, Meta(ge=0, le=600, description="How far the issuers' clocks may be off.", extra={"unit": "seconds"})
    ] = 60
