"""Goodput of part cores: what comes through the hub when more is offered than it can carry.

One trial says little where a machine's speed changes by a tenth or more from second to second, and the best of
some trials says how good a second was. So the loads follow each other in short rounds, up and down in turn, a
trial is compared with that at the peak's load in its own round, and the median of these shares counts.
What a load really offered is what was sent and what was due in front of a full ring, in all its trials: a generator
that was late, because its CPU ran something else or because it is no faster than the hub, offered less than it was
told to. Trials are not chosen by it one by one: that would count the slow ones for overload and not the fast ones."""

import statistics

MULTIPLES = (1, 2, 4, 8)
ROUNDS_MIN = 5  # fewer have no median worth the name


def rounds(measured):
    """Of one size: [{rate that was asked for: trial}], each with every rate once."""
    found = []
    for run in measured["loss"]:
        trials = run["trials"]
        n = len({trial["rate_pps"] for trial in trials})
        found += [{trial["rate_pps"]: trial for trial in trials[i:i + n]} for i in range(0, len(trials), n)]
    return found


def share(found, rate, reference):
    """The median of what came through when rate was asked for, in shares of what reference gives of each round."""
    return statistics.median(trials[rate]["received_pps"] / max(reference(trials), 1) for trials in found)


def peak_rate(found):
    """Of rounds: the rate that was asked for when most came through."""
    return max(found[0], key=lambda rate: share(found, rate, lambda trials: sum(
        trial["received_pps"] for trial in trials.values())))


def shares(measured):
    """Of one size: {multiple of the peak that was offered, or more, but less than the next: share of the peak that
    came through, the least where several loads offered so much}."""
    found = rounds(measured)
    if len(found) < ROUNDS_MIN:
        return {}
    peak = peak_rate(found)
    carried = max(sum(trials[peak]["received"] for trials in found), 1)
    reached = {}
    for rate in found[0]:
        offered = sum(trials[rate]["sent"] + trials[rate]["unsent"] for trials in found) / carried
        multiple = max((multiple for multiple in MULTIPLES if multiple <= offered), default=None)
        if multiple:
            reached.setdefault(multiple, []).append(share(found, rate, lambda trials: trials[peak]["received_pps"]))
    return {multiple: min(reached[multiple]) for multiple in sorted(reached)}


def peak_pps(measured):
    """Of one size: the median of what came through at the peak's load."""
    found = rounds(measured)
    return statistics.median(trials[peak_rate(found)]["received_pps"] for trials in found)
