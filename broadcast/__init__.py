"""What the services share that talk with many clients at once over WebSocket.

`server` takes connections after a `handshake`, looks after them and sends them away; a `hub` is
who hears what is written to all; a `subscription` hears what other replicas publish, and
`presence` counts their clients.
"""
