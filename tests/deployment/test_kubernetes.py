"""The Kubernetes manifests: valid by Kubernetes' own schemas, and locked down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from config.settings import Settings, variable_of

FOLDER = Path(__file__).parents[2] / "config" / "kubernetes"
VERSIONS = ("1.32", "1.34")
RESOURCES: list[tuple[str, dict[str, Any]]] = [
    (f"{file.name}:{resource['kind']}", resource)
    for file in sorted(FOLDER.glob("*.yaml"))
    for resource in yaml.safe_load_all(file.read_text())
    if file.name != "kustomization.yaml"
]
PODS = [(name, one["spec"]["template"]["spec"]) for name, one in RESOURCES if one["kind"] in {"Deployment", "Job"}]
named = pytest.mark.parametrize(("name", "resource"), RESOURCES, ids=[name for name, _ in RESOURCES])
pods = pytest.mark.parametrize(("name", "pod"), PODS, ids=[name for name, _ in PODS])


@named
@pytest.mark.parametrize("version", VERSIONS)
def test_a_manifest_is_valid_by_the_strict_schema(name: str, resource: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(resource, version, strict=True)


def test_the_schema_refuses_a_field_that_does_not_exist() -> None:
    _, deployment = next(one for one in RESOURCES if one[1]["kind"] == "Deployment")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(
            {**deployment, "spec": {**deployment["spec"], "replica": 2}}, VERSIONS[0], strict=True
        )


def test_the_kustomization_names_every_manifest() -> None:
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    there = {file.name for file in FOLDER.glob("*.yaml")} - {"kustomization.yaml", "secret.example.yaml"}
    assert set(listed) == there


@pods
def test_a_pod_runs_without_rights_and_within_limits(name: str, pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]


def test_deployments_are_probed_and_budgeted() -> None:
    deployments = {one["metadata"]["name"]: one for _, one in RESOURCES if one["kind"] == "Deployment"}
    budgets = {one["metadata"]["name"] for _, one in RESOURCES if one["kind"] == "PodDisruptionBudget"}
    scaled = {one["spec"]["scaleTargetRef"]["name"] for _, one in RESOURCES if one["kind"] == "HorizontalPodAutoscaler"}
    assert set(deployments) == budgets == scaled
    for deployment in deployments.values():
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            assert {"startupProbe", "livenessProbe"} <= set(container)


def test_the_settings_exist_and_nothing_is_missing() -> None:
    known = {variable_of(field) for field in Settings.model_fields}
    given = {name for _, one in RESOURCES for name in [*one.get("data", {}), *one.get("stringData", {})]}
    assert given <= known
    assert {"SCOREKEEPER_KAFKA", "SCOREKEEPER_REDIS", "SCOREKEEPER_DATABASE"} <= given


def test_no_secret_is_written_down() -> None:
    secrets = [value for _, one in RESOURCES for value in one.get("stringData", {}).values()]
    settings = [value for _, one in RESOURCES if one["kind"] == "ConfigMap" for value in one["data"].values()]
    assert secrets
    assert settings
    assert all("CHANGE-ME" in value for value in secrets)
    assert not any("@" in value for value in settings)
