"""Adapters: one outside system each; library errors never leak, each becomes one of ours."""
