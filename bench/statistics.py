"""The statistics that benchmarks print: what is typical, how far it spreads, how much one sample exceeds another, and whether
that may be chance.

    from bench import statistics   # with the repository's root on sys.path

`python3 bench/statistics.py` checks them against known values. Samples are lists of numbers, higher is better. All that is
random is drawn from a `random.Random` that the caller hands in.
"""

import itertools
import math
import random

# Up to so many values p is exact, also with ties; above it is the normal approximation, corrected for ties and continuity.
EXACT_UP_TO = 40


def median(values):
    return quantile(values, 0.5)


def quantile(values, share):
    """By linear interpolation between order statistics (type 7 of Hyndman and Fan 1996)."""
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def quartiles(values):
    return tuple(quantile(values, share) for share in (0.25, 0.5, 0.75))


def bands(curves):
    """Of equally long curves the quartiles at each of their points, pointwise: [(lower, median, upper), ..]."""
    return [quartiles(values) for values in zip(*curves, strict=True)]


def interquartile_mean(values):
    """The mean of the middle half: of n values the n // 4 lowest and highest are left out (Agarwal et al. 2021)."""
    ordered = sorted(values)
    cut = len(ordered) // 4
    middle = ordered[cut : len(ordered) - cut]
    return sum(middle) / len(middle)


def superiority(sample, baseline):
    """The chance that a value of `sample` is above one of `baseline`, ties counting half: A12 of Vargha and Delaney 2000. 1/2 is no
    effect; they call 0.56 small, 0.64 medium, 0.71 large."""
    above = sum((x > y) + 0.5 * (x == y) for x in sample for y in baseline)
    return above / (len(sample) * len(baseline))


def _midranks(values):
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    for _, group in itertools.groupby(enumerate(order, 1), key=lambda pair: values[pair[1]]):
        group = list(group)
        for _, index in group:
            ranks[index] = sum(rank for rank, _ in group) / len(group)
    return ranks


def _tie_term(values):
    return sum(size**3 - size for size in (len(list(group)) for _, group in itertools.groupby(sorted(values))))


def _normal_p(distance, variance):
    """Two-sided, of a statistic that lies `distance` from its mean in steps of 1."""
    return 1.0 if variance <= 0 else min(1.0, math.erfc(max(distance - 0.5, 0) / math.sqrt(2 * variance)))


def _exact_p(ranks, chosen, distance):
    """Two-sided, of a sum of ranks that lies `distance` from its mean, where every choice of `chosen` of them is equally likely;
    of any number, where `chosen` is None. Midranks are halves, so twice their sums are counted."""
    ways = {(0, 0): 1}  # (how many are chosen, twice their sum) -> in how many ways
    for rank in ranks:
        for (count, total), number in list(ways.items()):
            key = (count + (chosen is not None), total + round(2 * rank))
            ways[key] = ways.get(key, 0) + number
    sums = [(total / 2, number) for (count, total), number in ways.items() if chosen is None or count == chosen]
    all_ways = sum(number for _, number in sums)
    mean = sum(total * number for total, number in sums) / all_ways
    return sum(number for total, number in sums if abs(total - mean) >= distance - 1e-9) / all_ways


def mann_whitney(sample, baseline):
    """The two-sided p of equal distributions (Mann and Whitney 1947)."""
    n, m = len(sample), len(baseline)
    pooled = list(sample) + list(baseline)
    ranks = _midranks(pooled)
    mean = n * (n + m + 1) / 2
    distance = abs(sum(ranks[:n]) - mean)
    if n + m <= EXACT_UP_TO:
        return _exact_p(ranks, n, distance)
    return _normal_p(distance, n * m / 12 * (n + m + 1 - _tie_term(pooled) / ((n + m) * (n + m - 1))))


def wilcoxon(differences):
    """The two-sided p of pairs' differences that are symmetric about 0 (Wilcoxon 1945); pairs without a difference are left out."""
    differences = [difference for difference in differences if difference != 0]
    if not differences:
        return 1.0
    n = len(differences)
    sizes = [abs(difference) for difference in differences]
    ranks = _midranks(sizes)
    mean = sum(ranks) / 2
    distance = abs(sum(rank for rank, difference in zip(ranks, differences) if difference > 0) - mean)
    if n <= EXACT_UP_TO:
        return _exact_p(ranks, None, distance)
    return _normal_p(distance, n * (n + 1) * (2 * n + 1) / 24 - _tie_term(sizes) / 48)


def holm(p_values):
    """Of several tests, the p-values that keep the chance of any false alarm (Holm 1979), in the order given."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - place)))
        adjusted[index] = highest
    return adjusted


def bootstrap(values, statistic, generator, confidence=0.95, draws=2000):
    """The percentile interval of a statistic (Efron 1979); too narrow for fewer than ten values."""
    drawn = sorted(statistic(generator.choices(values, k=len(values))) for _ in range(draws))
    return quantile(drawn, (1 - confidence) / 2), quantile(drawn, (1 + confidence) / 2)


def _check():
    def near(value, expected, tolerance=5e-5):
        assert abs(value - expected) < tolerance, f"{value} is not {expected}"

    near(quantile([1, 2, 3, 4], 0.25), 1.75)
    assert quartiles([5]) == (5, 5, 5)
    assert bands([[1, 10], [3, 30], [2, 20]]) == [(1.5, 2, 2.5), (15, 20, 25)]
    near(interquartile_mean([0, 0, 0, 1, 2, 10]), 0.75)
    # U = 4.5 of 25; p exact and by the normal approximation.
    few, many = [1, 2, 2, 3, 5], [2, 4, 5, 6, 7]
    near(superiority(few, many), 4.5 / 25)
    near(mann_whitney(few, many), 0.11111)
    near(_normal_p(8, 22.2222), 0.11161)
    near(25 / 12 * (11 - _tie_term(few + many) / 90), 22.2222)
    assert superiority([1, 1], [1]) == 0.5 and mann_whitney([1] * 40, [1] * 40) == 1.0
    # The largest U that is significant at 0.05: 2 of five against five, 3 is not.
    assert mann_whitney([1, 2, 3, 4, 7], [5, 6, 8, 9, 10]) <= 0.05 < mann_whitney([1, 2, 3, 4, 8], [5, 6, 7, 9, 10])
    near(mann_whitney(range(20), range(3, 23)), mann_whitney(range(3, 23), range(20)))
    near(wilcoxon([1.5, -0.5, 2, 3, -1, 2.5, 4, 0.8]), 0.0546875)
    assert wilcoxon([0, 0]) == 1.0 and wilcoxon([1, 2, 3, 4, 5, 6]) <= 0.05 < wilcoxon([-1, 2, 3, 4, 5, 6])
    # Of thirty pairs a rank sum of 137 is the last that is significant at 0.05.
    against = [wilcoxon([-rank if rank in (30, 29, 28, 27, last) else rank for rank in range(1, 31)]) for last in (23, 24)]
    assert against[0] <= 0.05 < against[1]
    near(mann_whitney(list(range(1, 42, 2)), list(range(2, 43, 2))), 0.80138)  # 21 against 21: approximated
    assert [round(p, 6) for p in holm([0.01, 0.04, 0.03, 0.005])] == [0.03, 0.06, 0.06, 0.02]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    low, high = bootstrap(list(range(100)), median, random.Random(1))
    assert 35 < low < 49.5 < high < 65


if __name__ == "__main__":
    _check()
    print("as known")
