"""The pure core: frames in, in any order; runs, gaps and epochs out, in order.

Rule 1: nothing here knows a clock, Redis, a socket or a log. Time comes with the input: `now` is
feed time in seconds, which stands still while nobody listens to the feed (see `orderer.clock`).
Rule 2: each file owns one machine and its invariant. They meet in `numbering` and nowhere else.
Rule 3: whoever holds a frame pins its batch, so that the checkpoint stays before it.

Theory of operation
===================

A sequence's life is a row of *epochs*, and each epoch has two phases:

    Joining ── first id found ──▶ Numbering ── restart ──▶ Joining (Numbering, if FIRST_ID is set)

`Joining` (joining.py) holds what comes until it knows the first id. `Numbering` (numbering.py)
sends each frame to one of four machines, by where its id lies:

    far above all that was seen      Outliers   until MIN_SEQUENTIAL of them agree   (outliers.py)
    from `next` on                   Buffer     released, held, or waited for        (buffer.py)
    below `next`, in a gap           Ledger     late: counted, never sent            (ledger.py)
    below `next`, else               Repeats    replay or restart?                   (repeats.py)

`Repeats` compares with what came out, of which `Fingerprints` (fingerprints.py) remembers a CRC of
each frame. So every decision is made at once, in the middle of an entry, from what is in
memory; nobody is asked.

`Reorder` (reorder.py) is what the caller sees: it walks from phase to phase.

Whom to believe is a question of witnesses, and of time. Outliers and repeats are on *probation*
(probation.py): settled when enough others bear them out, or when so many frames or seconds of feed
time have passed that nobody will. What feeds bring that then fall silent is all there is to go by:
two frames that agree are enough then. A lone one is not, but for the first id right after a
reconnect: a wrong belief mutes a slow feed, for which nobody would speak in time. `alive` entries
bring the time, so nothing waits for a next frame.

What is held or on probation has one bound in frames and one in bytes. Over it, the oldest outlier
is refused, then the oldest repeat is settled, then the oldest gap is given up; so, too, when the
input that a pinned batch keeps from being trimmed is larger than that.

At rest
=======

An order that holds nothing, has nothing on probation and looks for nothing is a function of little:
where its output ends, the fingerprints of what came out, the gaps given up, and whether a line was
connected since the last frame. `Memory` (memory.py) is that. All else is either relative to frames
that are held, or a feed time that no later one is below. So an order at rest may be given up and
made again (`rest`, `recall`), and decides as if nothing had been.

Reading again
=============

Everything here is a function of the input. After a crash a new `Reorder` is made from what was
committed (epoch, first id, `next`, the last gaps, the fingerprints of the output), and is fed the
input again from the checkpoint on: the entry before the oldest pinned batch. That rebuilds the
same state. An epoch's `Origin` names which frames of the input belong to it, for between the
frames that prove a new numbering there may be stragglers of the old one.
"""
