"""Configurations of devices that join by EAP-TLS: whom they trust as the server, and which certificate they show.

A device that checks neither the server's root nor its name tells an impostor who it is, and joins his network. So each
of these pins both, and none asks the user. ``model`` is what is known of the network, ``linux`` writes it for
wpa_supplicant and NetworkManager, ``apple`` as a configuration profile, ``windows`` as a WLAN or LAN profile.

No key and no password stands in any of them: they name where the device's own certificate is.
"""
