"""How fast the memories run: what `miras bench` measures, and scripts that measure other things."""

if __name__ != "miras.benchmarks":
    raise ImportError(
        f"this folder is the package miras.benchmarks, not {__name__!r}: import miras.benchmarks"
        " instead (two names would mean two copies of every class)"
    )
