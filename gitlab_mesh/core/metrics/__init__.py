"""Metrics arithmetic: raw cumulative snapshots per pod become comparable counts per side."""
