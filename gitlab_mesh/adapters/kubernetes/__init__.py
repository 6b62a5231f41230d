"""Everything that talks to the Kubernetes API, through the one door ``client.KubernetesCluster``."""
