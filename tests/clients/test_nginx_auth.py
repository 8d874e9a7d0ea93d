"""nginx asks Troth at each request whether the client's certificate is to be let in (``auth_request``)."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509

from tests.support.running import RunningTroth, free_port

RULES = """
  - rule: readers
    moments: [connect]
    match: application.name == "web" && application.action == "GET"
    require:
      quiet: signals.count == 0
      not_secret: '!application.resource.startsWith("/secret")'
    then: {allow: {role: reader}}
    else: deny
    unknown: deny
"""
NGINX = """
{user} daemon off; pid {home}/nginx.pid; error_log {home}/error.log; worker_processes 1;
events {{}}
http {{
  access_log off; client_body_temp_path {home}/b; proxy_temp_path {home}/p;
  fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {home}/server.pem; ssl_certificate_key {home}/server.key;
    ssl_client_certificate {root}; ssl_verify_client optional; ssl_verify_depth 3;
    location / {{ auth_request /authz; auth_request_set $who $upstream_http_x_troth_subject;
                 auth_request_set $role $upstream_http_x_troth_role; return 200 "$who $role"; }}
    location /page {{ auth_request /authz; auth_request_set $who $upstream_http_x_troth_subject;
                     auth_request_set $why $upstream_http_x_troth_reason;
                     add_header X-Who $who; add_header X-Why $why always;
                     auth_request_set $id $upstream_http_x_troth_decision_id; add_header X-Decision $id;
                     root {home}/www; }}
    location /secret {{ auth_request /authz; root {home}/www; }}
    location = /authz {{ internal; proxy_pass {troth}/authz/check;
      proxy_ssl_trusted_certificate {root}; proxy_ssl_verify on; proxy_ssl_verify_depth 3; proxy_ssl_name {name};
      proxy_pass_request_body off; proxy_set_header Content-Length "";
      proxy_set_header Authorization "Bearer {token}";
      proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;
      proxy_set_header X-SSL-Client-Verify $ssl_client_verify;
      proxy_set_header X-Original-URI $request_uri; proxy_set_header X-Original-Method $request_method;
      proxy_set_header X-Real-IP $remote_addr; }}
  }}
}}
"""


def troth_json(troth: RunningTroth, *words: str) -> Any:
    line = [*troth.program, *words, "--data", str(troth.data), "--output", "json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout) if done.stdout.strip() else None


def issue(troth: RunningTroth, home: Path, name: str) -> tuple[Path, Path, str]:
    """Key, chain and serial number of a certificate for ``name``."""
    out = home / name
    troth_json(troth, "cert", "issue", "mutual-tls", name, "--name", name, "--out", str(out))
    chain = next(path for path in out.iterdir() if "chain" in path.name)
    key = next(path for path in out.iterdir() if "key" in path.name)
    return key, chain, f"{x509.load_pem_x509_certificate(chain.read_bytes()).serial_number:x}"


@contextmanager
def nginx(program: str, home: Path, text: str, port: int) -> Iterator[None]:
    (home / "nginx.conf").write_text(text)
    process = subprocess.Popen([program, "-c", str(home / "nginx.conf"), "-p", str(home)])
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                httpx.get(f"https://127.0.0.1:{port}/", verify=False)
                break
            except httpx.TransportError:
                assert process.poll() is None, (home / "error.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(20)


def test_nginx_lets_in_by_standing_and_policy(
    troth: RunningTroth, program: Callable[[str], str], tmp_path: Path
) -> None:
    home = tmp_path
    home.chmod(0o755)
    (home / "www" / "page").mkdir(parents=True)
    (home / "www" / "page" / "index.html").write_text("welcome\n")
    (home / "www" / "secret").mkdir()
    (home / "www" / "secret" / "index.html").write_text("secret\n")
    # The shipped policy governs the profile: it is given the rules for connections.
    shipped = str(troth_json(troth, "policy", "show", "mutual-tls")["text"]).split("\ntests:")[0]
    (home / "policy.yaml").write_text(f"{shipped.rstrip()}\n\n{RULES}")
    troth_json(troth, "apply", "-f", str(home / "policy.yaml"), "--yes")
    token = troth_json(troth, "application", "add", "web", "--accept", "mutual-tls")["token"]
    server_key, server_chain, _ = issue(troth, home, "gateway.test")
    server_key.rename(home / "server.key")
    server_chain.rename(home / "server.pem")
    key, chain, serial = issue(troth, home, "client.test")
    port, base = free_port(), troth.directory.partition("/acme/")[0]
    text = NGINX.format(
        user="user root;" if os.getuid() == 0 else "",
        home=home,
        port=port,
        root=troth.root,
        troth=base,
        name=urlsplit(base).hostname,
        token=token,
    )

    decisions: list[str] = []

    def get(path: str, *, shows: bool = True, method: str = "GET") -> tuple[int, str]:
        context = ssl.create_default_context(cafile=str(troth.root))
        context.check_hostname = False
        if shows:
            context.load_cert_chain(chain, key)
        found = httpx.request(method, f"https://127.0.0.1:{port}{path}", verify=context)
        decisions.append(found.headers.get("x-decision", ""))
        return found.status_code, found.headers.get("x-who" if found.status_code == 200 else "x-why", "")

    def until(expected: int) -> None:
        deadline = time.monotonic() + 120
        while (found := get("/page/"))[0] != expected:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    with nginx(program("nginx"), home, text, port):
        until(200)
        assert get("/page/") == (200, "workload:client.test")
        assert get("/page/", shows=False)[0] == 403
        assert get("/secret/")[0] == 403, "policy sees the path that was asked for"
        assert get("/page/", method="HEAD")[0] == 403, "and the method"
        troth_json(troth, "cert", "hold", serial)
        until(403)
        troth_json(troth, "cert", "release", serial)
        until(200)
        words = [*troth.program, "application", "remove", "web", "--data", str(troth.data)]
        subprocess.run(words, check=True, capture_output=True)
        deadline = time.monotonic() + 120
        while get("/page/")[0] == 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    # Each is in the database a moment later, and can be asked about.
    first, deadline = next(one for one in decisions if one), time.monotonic() + 120
    line = [*troth.program, "why", first, "--data", str(troth.data)]
    while not (told := subprocess.run(line, capture_output=True, text=True, check=False)).stdout:
        assert time.monotonic() < deadline, told.stderr
        time.sleep(0.2)
    assert "Letting in workload client.test on its mutual-tls certificate was allowed" in told.stdout


@pytest.mark.parametrize("path", ["/authz/check", "/access/v1/evaluation"])
def test_the_door_answers_strangers_nothing(troth: RunningTroth, path: str) -> None:
    base = troth.directory.partition("/acme/")[0]
    assert (
        httpx.post(
            f"{base}{path}", content=b"{}", verify=ssl.create_default_context(cafile=str(troth.root))
        ).status_code
        == 401
    )
