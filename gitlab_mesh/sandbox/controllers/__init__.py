"""What makes wanted state real: Deployment and ReplicaSet controllers, and a kubelet with real processes.

Not emulated: scheduling on several nodes, init containers, liveness probes, volumes, adoption of orphans. The first
container of a pod is its application and runs as a process; further ones are only shown as running.
"""
