"""The sandbox: a mesh, a Kubernetes-compatible and a GitLab-compatible API on one machine, all on loopback."""
