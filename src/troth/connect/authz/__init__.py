"""A door for applications: they ask at each connection whether to let somebody in.

``applications`` knows who may ask; ``door`` proves who asks and holds the limits; ``authzen`` speaks OpenID AuthZEN
1.0, ``check`` the HTTP checks of nginx and Envoy, ``certificates`` reads what proxies say of a client's certificate.
Who is let in the judge says (``troth.trust.connecting.connections``). See ``docs/applications.md``.
"""
