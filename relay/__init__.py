"""What ingestor, orderer and publisher agree on: the streams between them.

`keys` names them and their fields, `feeds` says which feeds there are, `messages` reads a
message's id, `ordered` packs a run's receive times, and `reading` tells how many entries to ask
for at a time.
"""
