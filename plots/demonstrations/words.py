"""What the numbers of demonstrations are, in words for a figure."""

METRICS = {
    "a_error": "mean squared error on task A",
    "accuracy": "share of answers that are right",
    "clean_error": "mean squared error to values without noise",
    "details": "share of details that are remembered",
    "equal": "share of lookups that are right",
    "gain": "share kept: rewarded minus unrewarded pairs",
    "hits": "share of facts that were held when asked for",
    "largest_norm": "largest norm of the weights",
    "next": "share of items that recall the next one",
    "norm": "norm of the weights",
    "novel": "share remembered of what came once",
    "ratio": "signal to noise, best exponential = 1",
    "recall": "share of answers that are right",
    "relative_error": "squared error, answering zero = 1",
    "repeated": "largest difference of logits, same tokens twice",
    "use/write": "evenness of writes over slots, 1 = all alike",
    "validation": "validation score",
    "worse_error": "mean squared error on the worse task",
    "worst_ratio": "smallest signal to noise of all ages, best exponential = 1",
}
PLACES = {
    "age": "age (tokens)",
    "n": "letters",
    "pass": "pass over the pairs",
    "rewrites": "writes so far",
    "step": "training steps",
    "token": "tokens",
}


def metric(name: str) -> str:
    """A number in words: `recall/pass=1` is what is recalled after pass 1."""
    if name in METRICS:
        return METRICS[name]
    what, _, where = name.partition("/")
    place, _, number = where.partition("=")
    spoken = METRICS.get(what, _plain(what))
    return f"{spoken} ({_plain(place)}{f' {number}' if number else ''})" if place else spoken


def over(name: str) -> str:
    """What a curve goes over: tokens, passes, ages."""
    return PLACES.get(name, _plain(name))


def _plain(name: str) -> str:
    return name.replace("_", " ")
