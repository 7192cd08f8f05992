"""The search: spaces, studies and workers. Imports miras and Optuna; miras never imports it."""

if __name__ != "miras.search":
    raise ImportError(
        f"this folder is the package miras.search, not {__name__!r}: import miras.search instead"
        " (two names would mean two copies of every class)"
    )
