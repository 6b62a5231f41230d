"""The data plane: one real Envoy that plays gateway and sidecars, driven by file xDS from Istio's objects."""
