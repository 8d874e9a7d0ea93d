"""The start-up check finds an OpenSSL that does not do what is needed."""

from __future__ import annotations

import pytest

from troth.radius.eap import openssl, selftest
from troth.radius.eap.errors import EngineUnfit


def test_the_engine_installed_here_is_fit() -> None:
    selftest.check()


def test_an_engine_that_takes_revoked_certificates_is_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openssl, "watch", lambda _, handshake: setattr(handshake, "judge", None) or None)
    monkeypatch.setattr(openssl, "_handshake_of", lambda _: None)
    with pytest.raises(EngineUnfit):
        selftest.check()


def test_an_engine_that_resumes_nothing_is_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openssl, "was_resumed", lambda _: False)
    with pytest.raises(EngineUnfit, match="not resumed"):
        selftest.check()


def test_without_the_hook_a_handshake_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openssl, "hooked", False)
    selftest.check()
