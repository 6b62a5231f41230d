"""Entry point for ``python -m gitlab_mesh``."""

from gitlab_mesh.cli.main import main

if __name__ == "__main__":
    main()
