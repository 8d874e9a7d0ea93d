"""What the agent asks of Troth itself, signed with the key of its own certificate: SVIDs, reports."""
