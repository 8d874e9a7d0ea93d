-- A stream that a person paused or disabled: its receiver does not set it going again.
ALTER TABLE ssf_out_stream ADD COLUMN held boolean NOT NULL DEFAULT false;
