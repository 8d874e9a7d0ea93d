-- For whom an authority issues. Those made before served everybody, and go on doing so.
ALTER TABLE authority ADD COLUMN issuer_classes jsonb NOT NULL
    DEFAULT '["open", "people", "infrastructure", "radius"]';
