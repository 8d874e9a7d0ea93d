"""What a TPM 2.0 writes, read and written alike below the attestation CA and the agent.

``numbers`` names what it speaks in, ``wire`` reads and writes integers and sized buffers, ``structures`` reads public
areas, attestations and signatures. Nothing here speaks with a TPM (the agent does) or judges one (``enroll`` does).
"""
