"""Stand in for the remote test server: an unordered feed and an endpoint that checks the order.

`settings` says what both can be made to do. The pure parts are `numbering` (which message
carries which id and text), `feed` (what goes out in which order), `sent` (what was sent
when), `check` (what arrived, and whether it is right) and `delays`; `service` connects them to
sockets.
"""
