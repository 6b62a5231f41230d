"""The entry point: commands are imported when they are used, so that ``--help`` costs next to nothing."""

from __future__ import annotations

import importlib
import os
import sys

import click

from gitlab_mesh import __version__
from gitlab_mesh.errors import GitlabMeshError

__all__ = ["main"]

_COMMANDS = {
    "job": ("gitlab_mesh.cli.job:job", "Run a job: canary, rollback, status, …"),
    "init": ("gitlab_mesh.cli.init:init", "Write .gitlab-ci.yml and mesh.yaml from what the repository has."),
    "doctor": ("gitlab_mesh.cli.doctor:doctor", "Check what a release needs, from inside a job; with the fixes."),
    "demo": ("gitlab_mesh.cli.demo:demo", "Run the main job against real traffic on this machine."),
    "sandbox": ("gitlab_mesh.cli.sandbox:sandbox", "A mesh, a cluster API and a GitLab on this machine."),
    "load": ("gitlab_mesh.cli.load:load", "Join and compare what load-check measured."),
    "inventory": ("gitlab_mesh.cli.inventory:inventory", "Write down what the cluster has, for validate."),
    "explain": ("gitlab_mesh.cli.explain:explain", "Explain a finding's code; without one, list all rules."),
    "config": ("gitlab_mesh.cli.config:config", "Show the settings with their origins; print the schema."),
    "rbac": ("gitlab_mesh.cli.rbac:rbac", "Print the smallest Role that a release needs."),
    "guard": ("gitlab_mesh.cli.guard:guard", "Print the in-cluster net for rollouts whose job is lost."),
    "template": ("gitlab_mesh.cli.template:template", "Write the CI templates, or check that they are current."),
    "judge": ("gitlab_mesh.cli.judge:judge", "Plan what can be detected; replay a recorded run."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and help, and imports each only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="gitlab-mesh")
def cli() -> None:
    """Progressive delivery for GitLab CI on an Istio service mesh, without a controller in the cluster."""


def main() -> None:
    """Run the command line; every error of ours becomes its exit code, anything else is a bug (1)."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = 2
    except GitlabMeshError as error:
        _say(f"gitlab-mesh: {error}")
        code = error.exit_code
    except BrokenPipeError:
        code = 1
    except Exception:
        import traceback

        _say(traceback.format_exc())
        _say(f"gitlab-mesh {__version__} on Python {sys.version.split()[0]}: this is a bug, please report it")
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _say(text: str) -> None:
    from gitlab_mesh.adapters.redaction import Redactor, secrets_of

    text = Redactor(secrets_of(os.environ))(text)
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:  # the runner is gone; the exit code still says what happened
        return
