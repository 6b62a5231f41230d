"""``mesh.yaml``: the model, its JSON Schema, and the loading with origins."""
