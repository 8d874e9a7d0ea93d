"""What the agent finds on its host and tells Troth: certificates, trust stores, posture.

``walk`` finds files within bounds, ``formats`` reads certificates out of them (``keystores`` those of Java),
``listeners`` asks the host's own TLS services, ``stores`` reads trust stores, ``posture`` reads facts. ``collect`` puts
a report together and ``service`` sends it. No octet of a private key leaves: certificates are parsed out of what was
read, and only they go into the report.
"""
