-- What platform tokens opened goes when it is over: a pruner walks their evidence from the oldest on.
CREATE INDEX token_evidence_at ON token_evidence (at, enrolment_id);
