"""What the rollout machine is told: what is missing never opens a gate."""

from __future__ import annotations

from dataclasses import dataclass

from gitlab_mesh.core.judge.evidence import Standing
from gitlab_mesh.core.judge.model import Judgement, SideHealth

__all__ = ["Drift", "Evidence"]


@dataclass(frozen=True, slots=True)
class Drift:
    """The route is not as we wrote it: who wrote it, and the share that is there now (None: not ours to read)."""

    writer: str
    share: float | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known now; everything is optional, and what is missing never opens a gate.

    Attributes:
        judgement: The judge's word at the last look at this weight.
        standing: Where the judge stands, for weights that follow the evidence; None: the judge cannot tell.
        rate: Requests per second of both sides since the last weight was written; None while nobody can tell.
        grain: Largest sum that the pair's weights may have: shares are multiples of its inverse.
        contradicts: Whether the observed share contradicts the written weight; None: too few requests to say.
        canary: Health of the canary.
        stable: Health of stable.
        drift: A foreign write that was found.
        lost_lock: Somebody else holds the lease or the fence; the text says who.
        signal: Number of the signal that asks us to end.
        canary_flat: Whether the canary's requests have gone flat since weight 0; None: nobody can tell.
        follows: Whether most of the canary's former share is gone since weight 0, so that what still comes bypasses
            the route; None: nobody can tell.
        pending: Why it is known that the route is not in force as it was written last; "" where that is not known.
        canary_gone: Whether no pod of the canary is left.
        canary_down: Whether no pod of the canary is ready; None: nobody looked.
        stable_down: The same for stable.
    """

    judgement: Judgement | None = None
    standing: Standing | None = None
    rate: float | None = None
    grain: int = 10000
    contradicts: bool | None = None
    canary: SideHealth | None = None
    stable: SideHealth | None = None
    drift: Drift | None = None
    lost_lock: str = ""
    signal: int = 0
    canary_flat: bool | None = None
    follows: bool | None = None
    pending: str = ""
    canary_gone: bool = False
    canary_down: bool | None = None
    stable_down: bool | None = None
