"""Google Cloud KMS and Azure Key Vault as their documents describe them, over HTTP on loopback, with faults.

Each server holds real keys. A fault is set by name and answers every request from then on, until it is cleared:
``403``, ``429``, ``500``, ``timeout``, ``algorithm`` (signs with another), ``crc`` (a damaged answer), ``gone``.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from troth.pki.keys.crc import crc32c

_EC = {"P256": ec.SECP256R1(), "P384": ec.SECP384R1(), "P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}
_HASH = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384()}


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class KeyService(ThreadingHTTPServer):
    """A key service on a port of its own. ``requests`` are those it has answered: (method, path)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys: dict[str, Any] = {}
        self.fault = ""
        self.slow_seconds = 3.0
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[dict[str, Any]] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @contextlib.contextmanager
    def running(self) -> Iterator[KeyService]:
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            self.server_close()

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: dict[str, Any]) -> tuple[int, Any]:
        raise NotImplementedError

    def error(self, status: int) -> Any:
        raise NotImplementedError

    def respond(self, method: str, target: str, body: dict[str, Any]) -> tuple[int, Any]:
        parts = urlsplit(target)
        self.requests.append((method, parts.path))
        self.bodies.append(body)
        if self.fault == "timeout":
            time.sleep(self.slow_seconds)
        if self.fault.isdecimal():
            return int(self.fault), self.error(int(self.fault))
        if self.fault == "gone":
            return 404, self.error(404)
        return self.answer(method, parts.path, parse_qs(parts.query), body)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: KeyService

    def _serve(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        status, answer = self.server.respond(self.command, self.path, body)
        content = json.dumps(answer).encode()
        with contextlib.suppress(OSError):  # a client that had not the time to wait
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            if status == 401:
                challenge = 'Bearer authorization="https://login.test/tenant", resource="https://vault.azure.net"'
                self.send_header("www-authenticate", challenge)
            self.end_headers()
            self.wfile.write(content)

    do_GET = do_POST = _serve  # noqa: N815 - the names are http.server's

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class GoogleKmsServer(KeyService):
    """cloudkms.googleapis.com v1: createCryptoKey, get, getPublicKey, asymmetricSign."""

    def error(self, status: int) -> Any:
        names = {403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL"}
        return {"error": {"code": status, "message": "no", "status": names.get(status, "UNKNOWN")}}

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: dict[str, Any]) -> tuple[int, Any]:
        path = path.removeprefix("/v1/")
        if method == "POST" and path.endswith("/cryptoKeys"):
            name = f"{path}/{query['cryptoKeyId'][0]}"
            template = _named(body["versionTemplate"])
            self.keys[f"{name}/cryptoKeyVersions/1"] = (template, _google_key(template["algorithm"]))
            return 200, {"name": name, "purpose": "ASYMMETRIC_SIGN", "versionTemplate": template}
        name, _, verb = path.partition(":")
        name = name.removesuffix("/publicKey")
        if name not in self.keys:
            return 404, self.error(404)
        template, key = self.keys[name]
        if verb == "asymmetricSign":
            return 200, self._sign(name, template["algorithm"], key, body)
        if path.endswith("/publicKey"):
            return 200, self._public(name, template, key)
        return 200, {
            "name": name, "state": "ENABLED", "algorithm": template["algorithm"],
            "protectionLevel": template["protectionLevel"], "attestation": {"format": "CAVIUM_V2_COMPRESSED"},
        }  # fmt: skip

    def _public(self, name: str, template: dict[str, str], key: Any) -> dict[str, Any]:
        found = {"name": name, "algorithm": template["algorithm"], "protectionLevel": template["protectionLevel"]}
        damage = 1 if self.fault == "crc" else 0
        if "ML_DSA" in template["algorithm"]:
            raw = key.public_key().public_bytes_raw()
            return {**found, "publicKeyFormat": "NIST_PQC",
                    "publicKey": {"data": _b64(raw), "crc32cChecksum": str(crc32c(raw) ^ damage)}}  # fmt: skip
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return {**found, "pem": pem.decode(), "pemCrc32c": str(crc32c(pem) ^ damage)}

    def _sign(self, name: str, algorithm: str, key: Any, body: dict[str, Any]) -> dict[str, Any]:
        ((kind, text),) = body["digest"].items()
        digest = base64.b64decode(text)
        whole = int(body["digestCrc32c"]) == crc32c(digest)
        if self.fault == "algorithm":
            digest = hashlib.sha384(digest).digest()[: len(digest)]
        if kind == "externalMu":
            signature = key.sign_mu(digest)
        elif isinstance(key, rsa.RSAPrivateKey):
            signature = key.sign(digest, padding.PKCS1v15(), Prehashed(_HASH[kind]))
        else:
            signature = key.sign(digest, ec.ECDSA(Prehashed(_HASH[kind])))
        damage = 1 if self.fault == "crc" else 0
        return {"name": name, "signature": _b64(signature), "signatureCrc32c": str(crc32c(signature) ^ damage),
                "verifiedDigestCrc32c": whole, "protectionLevel": "HSM"}  # fmt: skip


def _named(template: dict[str, Any]) -> dict[str, str]:
    """The template with its enumerations in words: the SDK sends numbers."""
    from google.cloud.kms_v1 import CryptoKeyVersion, ProtectionLevel

    return {
        "algorithm": CryptoKeyVersion.CryptoKeyVersionAlgorithm(template["algorithm"]).name,
        "protectionLevel": ProtectionLevel(template["protectionLevel"]).name,
    }


def _google_key(algorithm: str) -> Any:
    if "ML_DSA" in algorithm:
        kinds: dict[str, Any] = {
            "44": mldsa.MLDSA44PrivateKey,
            "65": mldsa.MLDSA65PrivateKey,
            "87": mldsa.MLDSA87PrivateKey,
        }
        return kinds[algorithm.split("_")[4]].generate()
    if algorithm.startswith("EC_SIGN"):
        return ec.generate_private_key(_EC[algorithm.split("_")[2]])
    return rsa.generate_private_key(public_exponent=65537, key_size=int(algorithm.split("_")[3]))


class AzureVaultServer(KeyService):
    """Key Vault 7.x: challenge, create, get, sign."""

    def __init__(self) -> None:
        super().__init__()
        self._challenged = False

    def error(self, status: int) -> Any:
        return {"error": {"code": {403: "Forbidden", 404: "KeyNotFound"}.get(status, "Other"), "message": "no"}}

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: dict[str, Any]) -> tuple[int, Any]:
        if not self._challenged:
            self._challenged = True
            return 401, self.error(401)
        if create := re.fullmatch(r"/keys/([^/]+)/create", path):
            key_id = f"https://vault.azure.net/keys/{create[1]}/{hashlib.sha256(path.encode()).hexdigest()[:32]}"
            key: Any = (
                ec.generate_private_key(_EC[body["crv"]])
                if "crv" in body
                else rsa.generate_private_key(public_exponent=65537, key_size=body["key_size"])
            )
            self.keys[urlsplit(key_id).path] = (body["kty"], key, body["key_ops"])
            return 200, self._bundle(urlsplit(key_id).path)
        at = path.removesuffix("/sign")
        if at not in self.keys:
            return 404, self.error(404)
        if path.endswith("/sign"):
            return 200, self._sign(at, body)
        return 200, self._bundle(at)

    def _bundle(self, path: str) -> dict[str, Any]:
        kind, key, operations = self.keys[path]
        public: dict[str, Any] = {"kid": f"https://vault.azure.net{path}", "kty": kind, "key_ops": operations}
        numbers = key.public_key().public_numbers()
        if isinstance(key, ec.EllipticCurvePrivateKey):
            size = (key.key_size + 7) // 8
            public |= {"crv": "P-256" if size == 32 else "P-384"}
            public |= {"x": _b64url(numbers.x.to_bytes(size, "big")), "y": _b64url(numbers.y.to_bytes(size, "big"))}
        else:
            size = key.key_size // 8
            public |= {"n": _b64url(numbers.n.to_bytes(size, "big")), "e": _b64url(b"\x01\x00\x01")}
        attributes = {"enabled": True, "created": 1, "updated": 1, "recoveryLevel": "Recoverable+Purgeable",
                      "exportable": False, "hsmPlatform": "2"}  # fmt: skip
        return {"key": public, "attributes": attributes, "tags": {}}

    def _sign(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        kind, key, _ = self.keys[path]
        digest = _unb64url(body["value"])
        if self.fault == "algorithm":
            digest = hashlib.sha384(digest).digest()[: len(digest)]
        algorithm = _HASH["sha384" if body["alg"].endswith("384") else "sha256"]
        if kind.startswith("RSA"):
            signature = key.sign(digest, padding.PKCS1v15(), Prehashed(algorithm))
        else:
            r, s = decode_dss_signature(key.sign(digest, ec.ECDSA(Prehashed(algorithm))))
            size = (key.key_size + 7) // 8
            signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
        return {"kid": f"https://vault.azure.net{path}", "value": _b64url(signature)}
