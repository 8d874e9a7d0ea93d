-- An ACME directory offers several profiles; an account belongs to the directory, an order to one of its profiles.

ALTER TABLE acme_account RENAME COLUMN profile TO directory;
ALTER TABLE acme_account RENAME CONSTRAINT acme_account_profile_thumbprint_key TO acme_account_directory_thumbprint_key;

-- A blocked key's accounts are sought in every directory.
CREATE INDEX acme_account_thumbprint ON acme_account (thumbprint);
