from __future__ import annotations

import http.client

from tests.support.webroot import ChallengeWebRoot, Page


def get(root: ChallengeWebRoot, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(root.host, root.port, timeout=5)
    connection.request("GET", path, headers={"host": "a.example"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_tokens_pages_and_files_are_served(challenge_web_root: ChallengeWebRoot) -> None:
    root = challenge_web_root
    root.tokens["one"] = "one.thumbprint"
    root.pages["/.well-known/acme-challenge/two"] = Page(b"", 302, {"location": "/elsewhere"})
    (root.challenge_directory / "three").write_text("three.thumbprint")
    assert get(root, "/.well-known/acme-challenge/one") == (200, b"one.thumbprint")
    assert get(root, "/.well-known/acme-challenge/two")[0] == 302
    assert get(root, "/.well-known/acme-challenge/three") == (200, b"three.thumbprint")
    assert get(root, "/.well-known/acme-challenge/four")[0] == 404
    assert root.requests[0] == ("a.example", "/.well-known/acme-challenge/one")


def test_nothing_outside_the_directory_is_served(challenge_web_root: ChallengeWebRoot) -> None:
    (challenge_web_root.directory.parent / "secret").write_text("x")
    assert get(challenge_web_root, "/../secret")[0] == 404
