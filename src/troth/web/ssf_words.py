"""What is said of shared signals: events in sentences, states as badges, what a page tells after a change."""

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
    "ssf.key_made": "Made the key {kid}, which is to sign what receivers are told",
    "ssf.key_dropped": "Dropped the key {kid}, which signed what receivers were told",
    "ssf.receiver_applied": "Receiver of shared signals {receiver}: {change}",
    "ssf.receiver_secret": "Made new OAuth credentials for the receiver {receiver}",
    "ssf.receiver_header": "Set the authorization header of the receiver {receiver}",
    "ssf.receiver_removed": "Ended the receiver {receiver} and its streams",
    "ssf.out_stream_made": "The receiver {receiver} made a stream, delivered by {method}",
    "ssf.out_stream_changed": "The receiver {receiver} changed its stream",
    "ssf.out_stream_deleted": "The receiver {receiver} ended its stream",
    "ssf.out_stream_status": "The stream to {receiver} went from {before} to {after}",
    "ssf.out_subjects": "The receiver {receiver} changed whom it wants to hear of",
    "ssf.out_refused": "The receiver {receiver} refused a token: {why}",
    "ssf.out_paused": "Paused the stream to {receiver}: {why}",
}

#: Tone, symbol and word of states, kind by kind.
LOOKS: Final[Mapping[str, Mapping[str, tuple[str, str, str]]]] = {
    "stream": {
        "planned": ("", "hourglass", "planned"),
        "enabled": ("good", "circle-check", "enabled"),
        "late": ("warn", "clock", "late"),
        "paused": ("warn", "circle-pause", "paused"),
        "disabled": ("bad", "circle-x", "disabled"),
    },
    "token": {
        "signals": ("warn", "radio-tower", "signal"),
        "noted": ("", "circle-check", "noted"),
        "wide": ("bad", "hand", "waits"),
        "identifier": ("warn", "user-round", "identifier"),
        "unknown": ("warn", "circle-help", "unknown value"),
        "ignored": ("", "circle-dashed", "type not known"),
        "discarded": ("warn", "circle-x", "discarded"),
        "stream": ("", "activity", "of the stream"),
    },
}
DONE: Final[Mapping[str, str]] = {
    "stream_connect": "Connected: the transmitter has the stream as it is defined here.",
    "stream_verify": "A verification is asked for. It has come when “verified” says so.",
    "stream_refresh": "The transmitter was asked, and this is what it says.",
    "stream_paused": "The stream is paused at its transmitter.",
    "stream_enabled": "The stream goes on.",
    "stream_secret": "The secret is kept, sealed. It is used from now on.",
    "stream_deleted": "The stream has ended. What it raised stays raised until a person clears it.",
    "wide_acted": "It is being said of each of them, within the feed's cap.",
    "wide_dismissed": "Dismissed. Nothing was changed.",
}
