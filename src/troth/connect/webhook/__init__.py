"""The signed webhook: ``POST /signals/{feed}``, in the manner of the Standard Webhooks specification.

``signature`` proves who speaks and that it is fresh, ``body`` reads what is said, ``routes`` hands it to the signal
desk and words the answers. Whoever cannot sign learns nothing, not even which feeds exist.
"""
