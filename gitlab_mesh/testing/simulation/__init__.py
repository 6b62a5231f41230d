"""Whole rollouts on a simulated clock, with faults at every boundary and oracles that watch from outside.

``schedule`` says what a seed means, ``play`` plays it, ``run`` is the way in; ``faults`` and ``world`` are what goes
wrong, ``oracles`` and ``end`` are what must never be seen.
"""
