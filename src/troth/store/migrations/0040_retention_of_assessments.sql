-- Records of assessments and settled signals are forgotten after a time; these find the oldest.
CREATE INDEX assessment_at ON assessment (at);
CREATE INDEX signal_unresolved_settled ON signal_unresolved (settled_at) WHERE settled_at IS NOT NULL;
