"""The data plane: one real Envoy that plays gateway and sidecars, driven by file xDS from Istio's objects.

``mesh.Mesh`` is what the sandbox uses. ``translate`` is pure: objects and pods in, Envoy's configuration out.
``proxy.EnvoyProxy`` applies one, make before break, and knows what Envoy accepted. ``telemetry.Telemetry`` is every
pod's ``:15020/stats/prometheus``; ``scrape_server.ScrapeServer`` serves it to a real Prometheus.

Requests pass through an outbound listener (the gateway's, or the client sidecar's) and the inbound listener of the
pod, so that both of Istio's reporters count. Behaviour and defaults follow istiod's own translation
(``pilot/pkg/networking/core`` on its main branch, read in 2026). Where the emulation is not Istio:

- No mutual TLS: ``connection_security_policy`` is ``none`` at the destination.
- The client sidecar has one port for all Services; the ``Host`` header's port chooses among a Service's ports.
- Hosts that nobody serves get 502 in the mesh, as with ``outboundTrafficPolicy: REGISTRY_ONLY``.
- A pod has one app process with one port, to which every port of its Services leads.
- HTTP/1.1 only; other ports of a Service are left out with a warning.
- In ``destination_service``, a request to a cluster that is missing is ``unknown``; a sidecar would show the host.
"""
