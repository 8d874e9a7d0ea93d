"""The messages, read back by the classes that SPIFFE's own schema gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from spiffe._proto import workload_pb2

from troth.agent.spiffe.messages import X509Svid, x509_bundles_response, x509_svid_response

octets = st.binary(max_size=300)
svids = st.builds(
    X509Svid,
    st.text(min_size=1, max_size=300),
    st.tuples(octets, octets),
    octets,
    st.tuples(octets),
    st.text(max_size=40),
)


@given(st.lists(svids, max_size=4))
def test_svids_are_read_as_they_were_meant(some: list[X509Svid]) -> None:
    read = workload_pb2.X509SVIDResponse.FromString(x509_svid_response(some))
    assert [(one.spiffe_id, one.x509_svid, one.x509_svid_key, one.bundle, one.hint) for one in read.svids] == [
        (one.spiffe_id, b"".join(one.chain), one.key, b"".join(one.roots), one.hint) for one in some
    ]


@given(st.dictionaries(st.text(min_size=1, max_size=200), st.lists(octets, max_size=3), max_size=4))
def test_bundles_are_read_as_they_were_meant(bundles: dict[str, list[bytes]]) -> None:
    read = workload_pb2.X509BundlesResponse.FromString(x509_bundles_response(bundles))
    assert dict(read.bundles) == {name: b"".join(roots) for name, roots in bundles.items()}
