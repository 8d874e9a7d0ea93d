"""What must hold between the keys of an EST issuer's table, on any machine."""

from __future__ import annotations

from collections.abc import Iterator

from troth.agent.settings import CertificateSettings, IssuerSettings


def contradictions(issuer: IssuerSettings, where: str) -> Iterator[str]:
    """What is wrong with an issuer's table, as far as EST goes."""
    own = (issuer.est_user, issuer.est_secret_file, issuer.bootstrap_certificate, issuer.renewal_info)
    if not issuer.est:
        if any(own):
            yield f"{where}: est_user, est_secret_file, bootstrap_certificate and renewal_info go with est"
        return
    if not issuer.est.startswith("https://") or "/.well-known/est" not in issuer.est:
        yield f"{where}.est is no URL such as https://HOST/.well-known/est"
    if not issuer.trust:
        # What TLS vouches for under any root of the web's must not become a root here (RFC 7030, 4.1.1).
        yield f"{where}: an EST server is believed under roots of its own; name them with trust"
    if issuer.eab_key_id or issuer.contact:
        yield f"{where}: EST has no accounts; its credential is est_user and est_secret_file"
    if issuer.est_user and not issuer.est_secret_file:
        yield f"{where}: est_user goes with est_secret_file"
    if bool(issuer.bootstrap_certificate) != bool(issuer.bootstrap_key):
        yield f"{where}: bootstrap_certificate and bootstrap_key go together"
    if not (issuer.est_secret_file or issuer.bootstrap_certificate):
        yield f"{where}: a first certificate needs est_secret_file or bootstrap_certificate"
    if issuer.renewal_info and not issuer.renewal_info.startswith("https://"):
        yield f"{where}.renewal_info is no https URL"


def contradictions_of(certificate: CertificateSettings, where: str) -> Iterator[str]:
    """What is wrong with a certificate that comes by EST."""
    if certificate.challenge is not None:
        yield f"{where}: EST asks for no proof, so there is no challenge"
    if certificate.profile:
        yield f"{where}: an EST server's label says which profile it is"
