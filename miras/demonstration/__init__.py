"""Demonstrations: memories alone on streams, with controls, and what they have to reach.

A file of demonstrations has rows. Each row names a stream, candidates, controls and claims about
their means over seeds. Everything is run by `miras.run` on memories written in the grammar; what is
still to run is a function of the results on disk.
"""
