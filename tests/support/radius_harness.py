"""A RADIUS server that is nothing but the EAP engine and a socket: what eapol_test talks to in place of a campus."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.programs import find_program
from tests.support.supplicants import SERVER, Holder, lab
from troth.radius.eap.model import Challenge, Fail, Foreign, Ignore, Opening, Proved, Step, Succeed
from troth.radius.eap.server import EapServer
from troth.radius.wire.hiding import mppe_keys
from troth.radius.wire.packet import Attribute, Code, Packet, decode
from troth.radius.wire.signing import eap_attributes, encode_reply, message_authenticator_ok

SECRET = b"between-tests"
_EAP_MESSAGE, _STATE, _USER_NAME, _FRAMED_MTU, _CALLING, _KEY_NAME = 79, 24, 1, 12, 31, 102


@dataclass
class Harness:
    """Answers on a port of loopback until it is left.

    Attributes:
        admit: the decision about whoever has proved itself.
        steps: every step that ended a conversation.
    """

    server: EapServer
    admit: Callable[[Proved], bool] = lambda _: True
    steps: list[Step] = field(default_factory=list)
    _replies: dict[tuple[int, int, bytes], bytes] = field(default_factory=dict)

    def __enter__(self) -> Harness:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(10)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, source = self._socket.recvfrom(4096)
            if not data:
                return
            packet = decode(data)
            key = (source[1], packet.identifier, packet.authenticator)
            if key not in self._replies:
                reply = self._answer(packet)
                if reply is None:
                    continue
                self._replies[key] = reply
            self._socket.sendto(self._replies[key], source)

    def _answer(self, packet: Packet) -> bytes | None:
        assert message_authenticator_ok(packet, SECRET) is True
        mtu = packet.first(_FRAMED_MTU)
        opening = Opening(
            "ap-1",
            "corp",
            (packet.first(_USER_NAME) or b"").decode(),
            (packet.first(_CALLING) or b"").decode(),
            int.from_bytes(mtu, "big") if mtu else 0,
        )
        eap, state = packet.joined(_EAP_MESSAGE), packet.first(_STATE)
        step = self.server.begin(opening, eap) if state is None else self.server.respond(state, eap, opening)
        if isinstance(step, Proved):
            step = self.server.conclude(step.conversation, admitted=self.admit(step), detail="the test said no")
        if not isinstance(step, Challenge):
            self.steps.append(step)
        return self._reply(packet, step)

    def _reply(self, packet: Packet, step: Step) -> bytes | None:
        attributes: list[Attribute]
        match step:
            case Challenge():
                attributes = [*eap_attributes(step.eap), (_STATE, step.state)]
                return encode_reply(packet, Code.ACCESS_CHALLENGE, attributes, SECRET)
            case Succeed():
                attributes = [*eap_attributes(step.eap), *mppe_keys(step.msk, SECRET, packet.authenticator)]
                if packet.first(_KEY_NAME) is not None:
                    attributes.append((_KEY_NAME, step.session_id))
                return encode_reply(packet, Code.ACCESS_ACCEPT, attributes, SECRET)
            case Fail():
                return encode_reply(packet, Code.ACCESS_REJECT, eap_attributes(step.eap), SECRET)
            case Ignore() | Foreign() | Proved():
                return None


class EapolTest:
    """wpa_supplicant's code as a device. ``home``: an empty directory."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._program = find_program("eapol_test")

    def join(
        self,
        port: int,
        holder: Holder,
        version: str,
        *,
        settings: str = "",
        arguments: tuple[str, ...] = (),
        root: Holder | None = None,
        signatures: str = "",
    ) -> tuple[bool, str]:
        """Whether it was let in with the keys that it has itself, and all it said.

        ``settings``: further lines of its network block; ``arguments``: of the command, such as ``-r 1``; ``root``:
        that it trusts; ``signatures``: algorithms that its OpenSSL takes and makes, and no others.
        """
        (self._home / "root.pem").write_bytes((root or lab().root).certificate.public_bytes(Encoding.PEM))
        limits = f"[d]\nSignatureAlgorithms = {signatures}\n" if signatures else "[d]\n"
        (self._home / "openssl.cnf").write_text(
            f"openssl_conf = c\n[c]\nssl_conf = s\n[s]\nsystem_default = d\n{limits}"
        )
        chain = [holder, *holder.above()[:-1]]
        (self._home / "chain.pem").write_bytes(b"".join(one.certificate.public_bytes(Encoding.PEM) for one in chain))
        (self._home / "key.pem").write_bytes(
            holder.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        off = "tls_disable_tlsv1_3=1" if version == "1.2" else "tls_disable_tlsv1_3=0"
        (self._home / "network.conf").write_text(
            f"""network={{
              key_mgmt=WPA-EAP
              eap=TLS
              identity="@corp.test"
              ca_cert="{self._home}/root.pem"
              domain_suffix_match="{SERVER}"
              client_cert="{self._home}/chain.pem"
              private_key="{self._home}/key.pem"
              phase1="{off}"
              {settings}
            }}"""
        )
        done = subprocess.run(
            [str(self._program), "-c", str(self._home / "network.conf"), "-a", "127.0.0.1", "-p", str(port),
             "-s", SECRET.decode(), "-t", "10", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
            check=False, env={**os.environ, "OPENSSL_CONF": str(self._home / "openssl.cnf")} if signatures else None,
        )  # fmt: skip
        assert (done.returncode == 0) == done.stdout.rstrip().endswith("SUCCESS"), done.stdout
        keys = re.search(r"MPPE keys OK: (\d+)  mismatch: (\d+)", done.stdout)
        assert keys is not None, done.stdout
        joined = done.returncode == 0
        assert not joined or (keys[1] != "0" and keys[2] == "0"), done.stdout
        return joined, done.stdout
