"""What the services share that talk with many clients at once over WebSocket.

`server` takes connections through a `door`, looks after them and sends them away; an `audience`
is who hears what is written to all; a `subscription` hears what other replicas publish, and
`presence` counts their clients.
"""
