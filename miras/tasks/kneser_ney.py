"""A language model of n-grams: what counting alone reaches on a text."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, UInt8

BYTES = 256


class Order(NamedTuple):
    """The n-grams of one length, sorted by context and next byte."""

    context: Int64[np.ndarray, " contexts"]  # packed, first byte highest
    first: Int64[np.ndarray, " contexts"]  # index of the first gram of the context
    kinds: Int64[np.ndarray, " contexts"]  # different bytes that follow
    total: Int64[np.ndarray, " contexts"]  # how often they do
    byte: Int64[np.ndarray, " grams"]
    times: Int64[np.ndarray, " grams"]
    discount: float


class KneserNey:
    """Interpolated Kneser-Ney estimate of the next byte after at most `order` - 1 <= 6 bytes.

    p_n(w | c) = max(count(c w) - D_n, 0) / count(c) + D_n kinds(c) / count(c) p_{n-1}(w | c'),
    D_n = n1 / (n1 + 2 n2) from the n-grams that occur once and twice, c' = c without its oldest
    byte, p_0 = 1/256. Grams of the largest order are counted in the text; a shorter gram counts the
    different bytes before it. An unseen context takes the estimate of c'.

    Source: Chen and Goodman 1999, equations 16-22, with a single discount per order.
    """

    def __init__(self, text: UInt8[np.ndarray, " bytes"], order: int) -> None:
        grams, counts = _count(packed(text[None], order)[0], order)
        self.orders = [_table(grams, counts)]
        for length in range(order - 1, 0, -1):
            grams, counts = _count(grams & (BYTES**length - 1), length)
            self.orders.insert(0, _table(grams, counts))

    def next_byte(
        self, windows: Int64[np.ndarray, "windows time"]
    ) -> Float64[np.ndarray, "windows time 256"]:
        """Probability of the byte after each position, from the bytes of the window up to it."""
        estimate = np.full((*windows.shape, BYTES), 1 / BYTES)
        for length, order in enumerate(self.orders):  # length of the context
            context = packed(windows, length)
            # The first positions have no such context and keep the estimate of a shorter one.
            _refine(order, context[:, -windows.shape[1] :], estimate)
        return estimate


def packed(
    windows: UInt8[np.ndarray, "windows time"] | Int64[np.ndarray, "windows time"], length: int
) -> Int64[np.ndarray, "windows grams"]:
    """All grams of `length` bytes, each as one number with its first byte highest."""
    last = max(windows.shape[1] - length + 1, 0)
    grams = np.zeros((len(windows), last), np.int64)
    for place in range(length):
        grams <<= 8
        grams |= windows[:, place : place + last]
    return grams


def _count(
    grams: Int64[np.ndarray, " places"], length: int
) -> tuple[Int64[np.ndarray, " grams"], Int64[np.ndarray, " grams"]]:
    """The different grams in order, and how often each occurs."""
    if length > 2:
        return np.unique(grams, return_counts=True)
    counts = np.bincount(grams)
    present = counts.nonzero()[0]
    return present, counts[present]


def _table(grams: Int64[np.ndarray, " grams"], times: Int64[np.ndarray, " grams"]) -> Order:
    context, first, kinds = np.unique(grams >> 8, return_index=True, return_counts=True)
    once, twice = int((times == 1).sum()), int((times == 2).sum())
    # Without grams that occur once there is no estimate of D; half is the usual middle.
    discount = once / (once + 2 * twice) if once else 0.5
    total = np.add.reduceat(times, first)
    return Order(context, first, kinds, total, grams & 255, times, discount)


def _refine(
    order: Order,
    context: Int64[np.ndarray, "windows last"],
    estimate: Float64[np.ndarray, "windows time 256"],
) -> None:
    """One step of the interpolation, in place, for the last positions of each window."""
    index = np.searchsorted(order.context, context).clip(max=len(order.context) - 1)
    known = order.context[index] == context
    kinds, total = order.kinds[index], order.total[index]
    estimate = estimate[:, estimate.shape[1] - context.shape[1] :]
    estimate *= np.where(known, order.discount * kinds / total, 1.0)[:, :, None]
    # The followers of all known places in one list: a place repeats once per follower.
    window, time = known.nonzero()
    kinds = kinds[known]
    place = np.repeat(np.arange(len(kinds)), kinds)
    follower = np.arange(len(place)) - (kinds.cumsum() - kinds - order.first[index[known]])[place]
    gain = (order.times[follower] - order.discount) / total[known][place]
    estimate[window[place], time[place], order.byte[follower]] += gain
