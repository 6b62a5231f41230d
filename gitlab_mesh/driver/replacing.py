"""Stable's pod template: the release's at the promotion, and the old one again where that did not start."""

from __future__ import annotations

from gitlab_mesh.core.rollout import Action, RolloutState
from gitlab_mesh.core.workload import plan_promotion, template_hash
from gitlab_mesh.driver.run import Run
from gitlab_mesh.driver.workloads import patch_template

__all__ = ["patch_stable", "revert_stable"]


def patch_stable(run: Run, action: Action, state: RolloutState) -> None:
    """Give stable the release's template; its old one is recorded first."""
    release = run.releasing()
    service = release.service
    deployment = run.ports.cluster.get("Deployment", service.namespace, service.stable_workload)
    operations = plan_promotion(deployment, release.template, label=service.subsets.label)
    current, wanted = deployment["spec"]["template"], operations[-1]["value"]
    key = f"Deployment/{service.namespace}/{service.stable_workload}"
    known = run.ledger.record.originals.get(key)
    if known is not None and template_hash(current) == template_hash(wanted):
        return  # an earlier attempt was applied, only its answer was lost
    was = {"template": current, "hash": template_hash(wanted)}
    run.ledger.write(phase="promote", originals={**run.ledger.record.originals, key: was})
    # Read before the record was written: whoever takes the record over touches the Deployment, and this fails.
    version = deployment["metadata"]["resourceVersion"]
    still = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
    run.watch.replaced = patch_template(
        run.ports.cluster, service.namespace, service.stable_workload, (still, *operations)
    )


def revert_stable(run: Run, action: Action, state: RolloutState) -> None:
    """Give stable its old template again."""
    service = run.ports.service
    was = run.ledger.record.originals.get(f"Deployment/{service.namespace}/{service.stable_workload}")
    if was:
        # As at the promotion: read first, then the record, so that a takeover in between lets the write fail.
        stable = run.ports.cluster.get("Deployment", service.namespace, service.stable_workload)
        run.ledger.write(phase="roll-back")
        still = {"op": "test", "path": "/metadata/resourceVersion", "value": stable["metadata"]["resourceVersion"]}
        operations = [still, {"op": "replace", "path": "/spec/template", "value": was["template"]}]
        run.events.write("StableReverted", "stable gets its old template back", warning=True)
        run.watch.replaced = patch_template(run.ports.cluster, service.namespace, service.stable_workload, operations)
