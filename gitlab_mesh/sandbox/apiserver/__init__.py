"""A Kubernetes-compatible API server for the kinds of ``core.kinds``: the sandbox's cluster and the tests' fake.

``ApiServer`` answers requests from an ``ObjectStore``; ``HttpServer`` puts it on a loopback port for kubectl and any
client library; ``gitlab_mesh.testing.cluster.MemoryCluster`` calls it in process.
"""
