"""The rule engine of ``validate`` and ``security-scan``: documents in, findings out; pure."""
