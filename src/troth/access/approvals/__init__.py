"""The two-person rule: dangerous acts are proposed, approved by other persons, and then done once.

Find your way: ``model`` has the records and the hashes that an approval is bound to; ``rule`` says which kinds of act
need how many approvals of whom; ``persons`` tells persons from accounts; ``proposals`` takes proposals, approvals,
rejections and withdrawals; ``execution`` does what was approved, once, and only while the state is still the one that
was previewed; ``service`` holds it all together; ``store`` has the SQL.

What can be done is not known here: whoever owns an act hands in an :class:`~troth.access.approvals.model.Executor`.
"""
