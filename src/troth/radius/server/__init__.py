"""What is answered to which packet, and by which process.

Find your way: ``desk`` (a packet comes in, an answer goes out, whatever the transport) → ``access`` (Access-Request:
which network, which conversation, what was decided, what is sent) → ``duplicates`` (a packet that comes again gets the
answer that it got) → ``pressure`` (how much is under way, and what is dropped first) → ``udp`` (sockets) → ``board``
and ``handover`` (the workers of a machine as one server: their load in shared memory, and packets that came to the
wrong one) → ``metrics``.

The rules that never bend here: a packet that proves nothing gets no answer; a Message-Authenticator is the first
attribute of every answer to an Access-Request; nobody is let in before the decision is in the journal.
"""
