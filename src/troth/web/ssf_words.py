"""Events of shared signals in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SENTENCES: Final[Mapping[str, str]] = {
    "ssf.stream_applied": "Shared signals, stream {stream}: {change}",
    "ssf.stream_connected": "Connected the stream {stream} with {issuer}",
    "ssf.stream_replaced": "Replaced the configuration of the stream {stream} at {issuer}",
    "ssf.stream_status": "The stream {stream} went from {before} to {after}",
    "ssf.stream_deleted": "Ended the stream {stream} of {issuer}",
    "ssf.secret_set": "Set the secret by which {issuer} knows the stream {stream}",
    "ssf.header_changed": "Changed the authorization header of the stream {stream}",
    "ssf.verification_asked": "Asked {issuer} to verify the stream {stream}",
    "ssf.subject_added": "Asked {issuer} for events about one more subject",
    "ssf.subject_removed": "Asked {issuer} for no more events about a subject",
    "ssf.discarded": "Discarded an event of the stream {stream}: {why}",
    "ssf.unknown_value": "An event of the stream {stream} has a value on no list: {why}",
    "ssf.identifier_changed": "The stream {stream} says that an identifier changed hands: {why}",
    "ssf.wide_held": "An event of the stream {stream} is about everybody in {subject}: it waits for a person",
    "ssf.wide_acted": "Acted on an event about everybody in {subject}, subjects: {subjects}",
    "ssf.wide_dismissed": "Dismissed an event about everybody in {subject}",
}
