"""Sequential evidence about two arms: capital that can only grow if the null hypothesis is wrong.

Each look brings, per side, how many requests were served and how many of them were bad. A *bet* multiplies the
capital by ``(1 + k)`` for each bad request of the canary and by ``(1 - h)`` for each bad one of stable, and pays a
*price*: the largest mean that the null allows. So the capital is a non-negative supermartingale, and by Ville's
inequality (1939) it reaches 1/alpha with probability at most alpha, at any time, however often one looks.
Derivation and sources: ``docs/judge.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite, log, log1p
from typing import NamedTuple

__all__ = ["BETTER", "SLOWER", "WORSE", "Arms", "Capital", "Stake", "Tolerance", "stake_of"]

WORSE = (1.3, 1.5, 1.75, 2.1, 2.6, 3.4, 4.8, 7.0, 11.0, 19.0, 35.0, 75.0, 200.0, 600.0, 2000.0)
"""Bets against "no worse than tolerated": the canary is so many times worse than that. Dense where information is
scarce: with a doubling, a bet 30 % off its mark wastes a third of the growth; with a hundredfold one, nothing."""

SLOWER = (1.1, 1.18, *WORSE[:-2])
"""Bets against "no slower than tolerated": a share of slow requests is large, so little of a change is a lot of users,
and it cannot become thousands of times as large."""

BETTER = (0.86, 0.72, 0.58, 0.44, 0.32, 0.21, 0.12, 0.05, 0.012)
"""Bets against "beyond the margin": the canary has only this fraction of the errors that the margin allows."""

_FIRST_CLOCK = 20.0
_RELEASE_POWER = 0.25
_DUST = 1e-280
"""A stake that is thrown away: 1e-280 of the capital comes back to nothing that counts, and its inverse overflows."""


class Arms(NamedTuple):
    """What both sides served in one look, under one weight; ``bad`` is at most ``n``, on each side."""

    canary_n: float
    canary_bad: float
    stable_n: float
    stable_bad: float


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The line between the hypotheses: ``p_canary = ratio * p_stable + slack``, in shares of requests.

    Attributes:
        ratio: At least 1 for the split of bad requests; the share test also uses less.
        slack: Absolute part, 0–1.
        base: Where stable's share is expected (a guess from the past). It tunes the stakes, never the validity.
            0 makes the stakes safe for any dependence between the fates of requests (``docs/judge.md``, design).
    """

    ratio: float
    slack: float = 0.0
    base: float = 0.0


class Stake(NamedTuple):
    """One bet on one look: log factors of a bad request on each side, and the log price."""

    canary: float
    stable: float
    price: float


def stake_of(worse: float, tolerance: Tolerance, canary_n: float, stable_n: float) -> Stake:
    """Build the bet "the canary is ``worse`` times the tolerated" for one look's exposure.

    Args:
        worse: Above 1 tests "no worse than tolerated", below 1 tests "at least as bad as tolerated".
        tolerance: The boundary.
        canary_n: Requests of the canary, above 0.
        stable_n: Requests of stable, above 0.

    Returns:
        Logs of 1 + k and 1 − h, and the exact log of the largest mean under the null: a concave function of
        stable's unknown share, so its maximum has a closed form.
    """
    ratio, slack, base = tolerance.ratio, tolerance.slack, tolerance.base
    gain = (worse - 1.0) * stable_n / (stable_n + worse * ratio * canary_n)
    odds = ratio * canary_n * gain / stable_n
    if base <= 0.0:
        return Stake(log1p(gain), log1p(-odds), canary_n * log1p(slack * gain) if slack else 0.0)
    top = (1.0 - slack) / ratio if ratio > 1.0 - slack else 1.0
    base = min(base, top)  # a guess that puts the canary's share beyond 1 would turn the bet around
    odds /= 1.0 + (ratio * base + slack) * gain
    loss = odds / max(1.0 + odds * base, 0.25)  # a bet on "better" may not stake more than everything
    worst = (canary_n * ratio * gain - stable_n * loss * (1.0 + slack * gain)) / (
        loss * gain * ratio * (canary_n + stable_n)
    )
    worst = 0.0 if worst < 0.0 else min(top, worst)
    price = canary_n * log1p((ratio * worst + slack) * gain) + stable_n * log1p(-worst * loss)
    return Stake(log1p(gain), log1p(-loss), price)


class Capital:
    """A mixture of bets with a reserve that is staked bit by bit, so that a late change still finds money.

    Args:
        worse: The bets, see ``WORSE`` and ``BETTER``.
        prior: Share of each bet, any positive numbers; uniform if empty.
        reserve: Part that is kept back at the start, 0–1.
        ceiling: Log of the largest capital worth keeping; what is above is thrown away (always fair), so that
            evidence for a pass can fall again within seconds.
    """

    __slots__ = ("_ceiling", "_prior", "_shares", "_worse", "clock", "log_wealth", "reserve")

    def __init__(
        self, worse: Sequence[float], prior: Sequence[float] = (), *, reserve: float = 0.35, ceiling: float = inf
    ) -> None:
        self._worse = tuple(worse)
        self._ceiling = ceiling
        self.log_wealth = 0.0
        self.clock = 0.0
        self._prior = _normalised(prior or [1.0] * len(self._worse))
        self._shares = [(1.0 - reserve) * share for share in self._prior]
        self.reserve = reserve

    def look(self, arms: Arms, tolerance: Tolerance, *, temper: float = 1.0, cap: float = inf) -> float:
        """Bet on one look and return the log of the capital.

        Args:
            arms: Counts of this look.
            tolerance: The boundary.
            temper: At least 1; the log gains are divided by it (over-dispersed data). Fair by Jensen's inequality.
            cap: Log of the most that this one look may multiply the capital by.
        """
        if arms.canary_n <= 0 or arms.stable_n <= 0:
            return self.log_wealth  # without control there is nothing to compare with
        canary_n, canary_bad, stable_n, stable_bad = arms
        stakes = [stake_of(worse, tolerance, canary_n, stable_n) for worse in self._worse]
        gains = [(canary_bad * canary + stable_bad * stable - price) / temper for canary, stable, price in stakes]
        tolerated = tolerance.ratio * arms.canary_n
        expected = (arms.canary_bad + arms.stable_bad) * tolerated / (tolerated + arms.stable_n)
        return self.settle(gains, (expected + tolerance.slack * arms.canary_n) / temper, cap)

    def settle(self, gains: Sequence[float], information: float, cap: float = inf) -> float:
        """Multiply each stake by its gain, then stake more of the reserve; return the log of the capital.

        Args:
            gains: Log factor of each bet; the mean of each factor under the null is at most 1.
            information: What this look adds to the clock of late starts, in bad events that the null expects.
            cap: Log of the most that this one look may multiply the capital by.
        """
        self._grow(gains, cap)
        self._release(information)
        return self.log_wealth

    def _grow(self, gains: Sequence[float], cap: float) -> None:
        """Multiply each stake by its gain; throw away what is above the cap or the ceiling."""
        pairs = list(zip(self._shares, gains, strict=True))
        best = max((gain for share, gain in pairs if share > _DUST), default=0.0)
        floor = best - 700.0
        grown = [share * exp(gain - best) if share > _DUST and gain > floor else 0.0 for share, gain in pairs]
        total = sum(grown)
        if total > 0.0:
            staked = best + log(total)
            allowed = min(cap, self._ceiling - self.log_wealth)
            kept = log(self.reserve) if self.reserve > 0 else -inf
            factor = max(min(_log_add(staked, kept), allowed), kept)
        else:
            factor = log(self.reserve)
        rest = exp(min(log(self.reserve) - factor, 0.0)) if self.reserve > 0 else 0.0
        scale = (1.0 - rest) / total if total > 0.0 else 0.0
        self._shares = [share * scale for share in grown]
        self.reserve = rest
        self.log_wealth += factor

    def _release(self, information: float) -> None:
        """Stake more of the reserve: a power law over the start of a change, on a clock of expected bad requests."""
        if self.reserve <= 0.0 or information <= 0.0:
            return
        before = _FIRST_CLOCK + self.clock
        self.clock += information
        self.commit(1.0 - (before / (before + information)) ** _RELEASE_POWER)

    def commit(self, part: float) -> None:
        """Stake this part of the reserve now, 0–1; fair whenever the moment is chosen by the past."""
        spent = self.reserve * part
        self.reserve -= spent
        self._shares = [share + spent * prior for share, prior in zip(self._shares, self._prior, strict=True)]

    def restart(self, prior: Sequence[float] = (), *, reserve: float = 0.35, memory: float = 0.75) -> None:
        """Set the capital to 1 again, but bet as the past taught: fair, because the bets only use the past.

        Args:
            prior: New share of each bet; as before if empty.
            reserve: As at the start.
            memory: How much of the new stakes follows the present ones instead of the prior.
        """
        if prior:
            self._prior = _normalised(prior)
        total = sum(self._shares)
        learned = [share / total for share in self._shares] if total > 0.0 else self._prior
        mixed = [memory * share + (1.0 - memory) * prior for share, prior in zip(learned, self._prior, strict=True)]
        self._shares = [(1.0 - reserve) * share for share in mixed]
        self.reserve, self.clock, self.log_wealth = reserve, 0.0, 0.0

    @property
    def wealth(self) -> float:
        """The capital, at most 1e300."""
        return exp(min(self.log_wealth, 690.0))

    def dump(self) -> list[float]:
        """Return the state as numbers, without the prior."""
        return [self.log_wealth, self.clock, self.reserve, *self._shares]

    def load(self, numbers: Sequence[float], prior: Sequence[float] = ()) -> None:
        """Take over a state that ``dump`` returned, and the prior that was in force."""
        size = len(self._worse)
        if len(numbers) != 3 + size or not all(isfinite(number) for number in numbers):
            raise ValueError(f"expected {3 + size} finite numbers, got {len(numbers)}")
        self.log_wealth, self.clock, self.reserve = numbers[:3]
        self._shares = list(numbers[3:])
        if prior:
            self._prior = _normalised(prior)


def _normalised(numbers: Sequence[float]) -> list[float]:
    total = sum(numbers)
    return [number / total for number in numbers]


def _log_add(a: float, b: float) -> float:
    high, low = max(a, b), min(a, b)
    return high if low == -inf else high + log1p(exp(low - high))
