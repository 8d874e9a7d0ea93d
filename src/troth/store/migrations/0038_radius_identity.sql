-- Certificates of the RADIUS server itself. The key is the signer's; a RADIUS worker is given it, sealed.
CREATE TABLE radius_identity (
    certificate_id uuid PRIMARY KEY,
    -- The DNS name that devices are told to expect.
    name text NOT NULL,
    authority text NOT NULL,
    key_id text NOT NULL,
    -- PEM: leaf first, without the root.
    chain text NOT NULL,
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL
);
CREATE INDEX radius_identity_newest ON radius_identity (not_before DESC, certificate_id DESC);
