"""The whole stack in one terminal, without Docker: an embedded Valkey and every service.

`python -m standalone demo` relays a number of messages and says whether all came out in order;
`python -m standalone up` keeps everything running until Ctrl-C.
"""
