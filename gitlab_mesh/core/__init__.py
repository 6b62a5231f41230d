"""The pure core: values in, values out; no clock, environment, file, socket or randomness."""
