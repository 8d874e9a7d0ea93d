"""Profiles that make names, asked for over ACME: the client hears what is missing, and its CSR widens nothing."""

from __future__ import annotations

import pytest
from cryptography import x509

from tests.support.acme_door import Door, csr_for
from troth.client.acme import AcmeError

TEMPLATED = """
name: tls-server
description: A server that is named after its workload.
extended_key_usage: [serverAuth]
key_usage: [digitalSignature]
lifetime: {default: 30d, max: 90d}
keys: [p256]
names: {max: 0, others: OTHERS}
san:
  - dns: ${workload.name}
  - dns: ${workload.environment | default("lab")}.corp.example
"""


async def _applied(door: Door, document: str) -> None:
    await door.mint.catalogue.apply_profile(document, actor="test:door")


async def test_what_is_missing_reaches_the_client_by_name_and_leaves_the_order_ready(door: Door) -> None:
    client = await door.client()
    order = await door.ready(client, "a.test")
    await _applied(door, TEMPLATED.replace(' | default("lab")', "").replace("OTHERS", "ignore"))
    with pytest.raises(AcmeError) as caught:
        await client.finalize(order, csr_for(["a.test"]))
    assert caught.value.status == 403
    assert "workload.environment is not known" in str(caught.value)
    assert await door.count("certificate") == 0
    assert (await client.order(order.url)).status == "ready"


async def test_a_name_beyond_the_profile_is_refused_or_left_out_as_it_says(door: Door) -> None:
    client = await door.client()
    # The order's second name belongs to the same workload as far as anybody knows: there are two, and so two subjects.
    order = await door.ready(client, "b.test")
    await _applied(door, TEMPLATED.replace("OTHERS", "refuse").replace("${workload.name}", "x.${workload.name}"))
    with pytest.raises(AcmeError) as caught:
        await client.finalize(order, csr_for(["b.test"]))
    assert caught.value.problem.short_type == "badCSR"
    assert "does not certify dns 'b.test'" in str(caught.value)
    await _applied(door, TEMPLATED.replace("OTHERS", "ignore").replace("${workload.name}", "x.${workload.name}"))
    done = await client.finalize(order, csr_for(["b.test"]))
    assert done.certificate is not None
    chain = await client.certificate(done.certificate)
    leaf = x509.load_pem_x509_certificates(chain if isinstance(chain, bytes) else chain.encode())[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["lab.corp.example", "x.b.test"]


async def test_a_profile_that_describes_one_subject_takes_no_names_of_two(door: Door) -> None:
    client = await door.client()
    order = await door.ready(client, "a.test", "b.test")
    await _applied(door, TEMPLATED.replace("OTHERS", "ignore"))
    with pytest.raises(AcmeError, match="describes one subject"):
        await client.finalize(order, csr_for(["a.test", "b.test"]))


async def test_a_profile_that_policy_puts_in_place_is_named_by_facts_of_its_own(door: Door) -> None:
    """Whatever the profile that was asked for did not want to know is gathered for the other one."""
    client = await door.client()
    order = await door.ready(client, "c.test")
    document = TEMPLATED.replace("OTHERS", "ignore").replace("name: tls-server", "name: tls-named")
    await _applied(door, document)
    policy = (
        "policy: tls-server\ndescription: All by another profile.\nprofiles: [tls-server]\nrules:\n"
        "- {rule: all, moments: [issue], require: {some: size(request.names) > 0}, "
        "then: {restrict: {profile: tls-named}}, else: deny, unknown: deny}\n"
    )
    await door.policies.apply(await door.policies.plan(policy), actor="admin:test")
    await door.cache.refresh()
    done = await client.finalize(order, csr_for(["c.test"]))
    assert done.certificate is not None
    chain = await client.certificate(done.certificate)
    names = x509.load_pem_x509_certificate(chain).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["c.test", "lab.corp.example"]
