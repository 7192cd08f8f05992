"""Into a memory while it works: what it writes, where it looks, how long that stays.

A model reads sequences of a task and what happens in one of its layers is written down as rows of
`miras.result.Seen`, from which `miras plot` draws. `miras look` is the command.
"""
