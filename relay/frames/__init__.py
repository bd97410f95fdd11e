"""From one WebSocket frame to the messages in it, and back: pure functions, no connection.

`inflate` unpacks a frame, `cut` finds the messages that stand in it, byte for byte as they stand,
`number` reads ids, `pattern` recognises frames, `template` makes texts to send, and `reader` does
all of it with the words of a feed. `path` says where values stand; `shape` finds many of them in
one go without decoding the rest.
"""
