"""Load as values: what to send and when, what was measured, and what it is held against."""
