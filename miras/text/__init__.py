"""Training on a person's own text: files to token ids on disk, a loop that survives interruption.

`settings` says what a training is, `documents` reads files, `coding` turns text into token ids,
`tokens` keeps them on disk and cuts windows out of them, `processes` lets several devices share the
work, `log` writes down how it goes, `run` takes up what is unfinished, `training` is the loop.
"""
