"""Which forms of PTX instructions mean the same.

Two are one when they differ in nothing but words that say how fast, how cached or how shared an access is, and not what
a thread gets that runs alone. Everything else counts: types, rounding, saturation, vectors, spaces, and in which order
the words stand.
"""

import re

# PTX ISA 9.0: 9.7.9.1 "these cache operators are treated as performance hints only"; 9.7.9.2, 9.7.9.8 on eviction
# priorities and prefetches the same; .nc is of data that nobody writes. L2::cache_hint, which comes with an operand of
# its own, counts.
LEVELS = re.compile(r"(L1|L2)::(?!cache_hint).*")
HINTS = re.compile(r"ca|cg|cs|lu|cv|wb|wt|nc")
# Section 8: who sees an access, and in which order with others. The engine's accesses are all at least as strong.
ORDER = re.compile(r"weak|relaxed|acquire|release|acq_rel|sc|volatile|mmio|cta|cluster|gpu|sys|gl")
# Section 5.1: what the shorter word stands for; which parameters are meant, the name after it says.
SAME = {"shared::cta": "shared", "param::entry": "param", "param::func": "param"}
# Of these the order is the operation itself, and .ca and the like are no hints.
WHOLE = ("membar", "fence", "mbarrier", "cp", "barrier", "bar", "discard", "applypriority", "prefetch", "prefetchu")
# There, that all threads of a warp do the same: a promise. In a vote it is what is computed.
UNIFORMLY = re.compile("uni")
UNIFORM = ("bra", "brx", "call", "ret")


def fold(form):
    """The name that stands for all forms that mean the same."""
    base, *words = form.split(".")
    words = [SAME.get(word, word) for word in words]
    if form.startswith("%"):
        return form
    dropped = [LEVELS]
    if base not in WHOLE:
        dropped += [HINTS, ORDER]
    if base in UNIFORM:
        dropped.append(UNIFORMLY)
    return ".".join([base, *(word for word in words if not any(pattern.fullmatch(word) for pattern in dropped))])
