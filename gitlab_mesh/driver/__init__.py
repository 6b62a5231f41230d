"""The one executor of the rollout machine: performs the actions that ``core.rollout`` decides."""
