-- How well the key of a certificate is known to be where it should be, and the whole subject that was certified.
ALTER TABLE certificate ADD COLUMN key_assurance text NOT NULL DEFAULT 'unproven'
    CHECK (key_assurance IN ('attested', 'mdm-asserted', 'unproven'));
-- [[type, value], …] in the certificate's order. Null in older rows, whose subject is the common name or empty.
ALTER TABLE certificate ADD COLUMN subject jsonb;
