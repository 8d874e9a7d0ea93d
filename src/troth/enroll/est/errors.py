"""Why an EST client gets no certificate, or not yet."""

from __future__ import annotations

from troth.kit.errors import Reason, TrothError, reason

LABEL_UNKNOWN = reason(
    "est.label.unknown",
    "there is no such EST label",
    fix="`troth est labels` names those there are; `[est.labels.NAME]` makes one.",
    status=404,
)
NOT_AUTHENTICATED = reason(
    "est.not_authenticated",
    "the client has not shown who it is",
    fix="Send HTTP Basic with an enrolment's key id and secret, or show a client certificate that this label takes.",
    status=401,
)
CREDENTIAL_REFUSED = reason(
    "est.credential.refused",
    "no enrolment that is open here has this user name and password",
    fix="The user name is the enrolment's key id, the password its secret; `troth enrolment list` shows what is open.",
    status=401,
)
CREDENTIAL_ELSEWHERE = reason(
    "est.credential.elsewhere",
    "the enrolment is not for this label",
    fix="Make an enrolment whose directories hold `est:LABEL`, or whose profiles hold that of the label.",
    status=403,
)
CERTIFICATE_NEEDED = reason(
    "est.certificate.needed",
    "a re-enrolment shows the certificate that it renews in the TLS handshake",
    fix="Connect with the present certificate and its key; with none, enrol anew (simpleenroll).",
    status=403,
)
CERTIFICATE_UNKNOWN = reason(
    "est.certificate.unknown",
    "no certificate that was issued here has this fingerprint, and no anchor of this label vouches for it",
    fix="Show a certificate of this installation, or have the issuer of yours added: `troth anchor add`.",
    status=403,
)
CERTIFICATE_NOT_GOOD = reason(
    "est.certificate.not_good",
    "the client's certificate is held, revoked or out of date",
    fix="See why on the certificate's page; then clear what holds it, or enrol anew.",
    status=403,
)
CERTIFICATE_ELSEWHERE = reason(
    "est.certificate.elsewhere",
    "certificates like the client's are not taken at this label",
    fix="Use the label of its profile; `from_profiles` and `adopt` of the label say what else it takes.",
    status=403,
)
DEVICE_UNKNOWN = reason(
    "est.bootstrap.unknown",
    "the directory knows no device with the serial number in the client's certificate, or several",
    fix="Declare the device with its serial number in the directory.",
    status=403,
)
SUBJECT_GONE = reason(
    "est.subject.gone",
    "whom this credential was made for is not in the directory any more",
    fix="Bring the device or user back into the directory, or make a new enrolment.",
    status=403,
)
REQUEST_MALFORMED = reason(
    "est.request.malformed",
    "the body is not base64 of a PKCS#10 request (RFC 8951, 3.1)",
    fix="Send base64 of the DER request, without PEM's first and last line, as application/pkcs10.",
)
MEDIA_TYPE = reason(
    "est.request.media_type",
    "the request is not application/pkcs10",
    fix="Set Content-Type: application/pkcs10.",
    status=415,
)
NAMES_UNPROVED = reason(
    "est.names.unproved",
    "the request asks for names that nobody has vouched for",
    fix="Make an enrolment that vouches for them (--vouch), or declare them for the device in the directory.",
    status=403,
)
SUBJECT_DIFFERS = reason(
    "est.renewal.differs",
    "subject and names of a re-enrolment are not those of the certificate that it renews (RFC 7030, 4.2.2)",
    fix="Take subject and subjectAltName over from the present certificate; for others, enrol anew.",
)
BINDING_WRONG = reason(
    "est.binding.wrong",
    "the request's challengePassword is not this connection's tls-unique (RFC 7030, 3.5)",
    fix="Sign the request on the connection that it is sent on, or leave challengePassword out.",
)
BINDING_MISSING = reason(
    "est.binding.missing",
    "this label wants the request bound to its TLS connection",
    fix="Connect with TLS 1.2 and put base64 of tls-unique into challengePassword (RFC 7030, 3.5).",
)
BINDING_UNSUPPORTED = reason(
    "est.binding.unsupported",
    "a request cannot be bound to a TLS 1.3 connection here",
    fix="Leave challengePassword out, or connect with TLS 1.2; Troth's TLS library has no exporter (RFC 9266).",
)
KEYGEN_REFUSED = reason(
    "est.keygen.refused",
    "this label makes no keys for its clients",
    fix="Let the client make its key; or set `server_keygen` for the label.",
    status=403,
)
KEYGEN_UNSUPPORTED = reason(
    "est.keygen.unsupported",
    "a key cannot be made or wrapped as the request asks",
    fix="Ask for RSA, an elliptic curve or Ed25519, without a decrypt key identifier: TLS protects the key.",
)
FULL_CMC = reason(
    "est.full_cmc",
    "Full CMC is not offered",
    fix="Use simpleenroll and simplereenroll.",
    status=501,
)
PENDING = reason(
    "est.pending",
    "the request waits; nothing has been refused",
    fix="Send the same request again after the time in Retry-After.",
    status=202,
)
UNAVAILABLE = reason(
    "est.unavailable",
    "what issuing needs does not answer at present",
    fix="Send the same request again after the time in Retry-After; the log says what is missing.",
    status=503,
)
TOO_MANY = reason(
    "est.too_many",
    "this network asks too often",
    fix="Wait a minute; `est.requests_per_minute` is the allowance of each network.",
    status=429,
)


class EstRefused(TrothError):
    """The client gets nothing for this request."""


class EstWaits(EstRefused):
    """Nothing was refused; the client comes again after ``retry_after`` seconds with the same request."""

    def __init__(self, reason: Reason, detail: str = "", *, retry_after: int, **facts: object) -> None:
        super().__init__(reason, detail, **facts)
        self.retry_after = retry_after
