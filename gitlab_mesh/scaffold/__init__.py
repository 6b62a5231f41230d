"""First files of a project: find out what it releases, and write ``mesh.yaml`` and the pipeline for it.

Pure: objects and texts in, texts out; ``gitlab_mesh.cli.init`` reads, asks and writes.
"""

from gitlab_mesh.scaffold.discover import Candidate, discover
from gitlab_mesh.scaffold.existing import include_into
from gitlab_mesh.scaffold.render import Source, render_mesh_yaml, render_pipeline

__all__ = ["Candidate", "Source", "discover", "include_into", "render_mesh_yaml", "render_pipeline"]
