"""The judge: decides from counts, at any time, with a promised error rate."""
