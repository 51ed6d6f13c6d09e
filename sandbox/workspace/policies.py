"""Azure Policy: a write that breaks a company's rules is denied before AML sees it."""

from sandbox.workspace.arm import ArmError, Json, object_in, tags_in
from sandbox.workspace.cloud import Cloud
from sandbox.workspace.rules import Policy, Subject


def check_endpoint(cloud: Cloud, subject: Subject, body: Json) -> None:
    """Deny an online endpoint that the policy in force does not allow."""
    policy = cloud.rules.take(Policy, subject)
    if policy is None:
        return
    properties = object_in(body, "properties")
    is_public = properties.get("publicNetworkAccess") != "Disabled"
    faults = _missing_tags(policy, body)
    if policy.is_private and is_public and not properties.get("compute"):
        faults.append("publicNetworkAccess")
    if policy.has_identity and not object_in(body, "identity").get("userAssignedIdentities"):
        faults.append("identity.userAssignedIdentities")
    _deny(subject.endpoint, faults)


def check_deployment(cloud: Cloud, subject: Subject, body: Json) -> None:
    """Deny a deployment that the policy in force does not allow."""
    policy = cloud.rules.take(Policy, subject)
    if policy is not None:
        _deny(subject.deployment, _missing_tags(policy, body))


def _missing_tags(policy: Policy, body: Json) -> list[str]:
    return [f"tags.{name}" for name in policy.tags if name not in tags_in(body)]


def _deny(name: str, faults: list[str]) -> None:
    if faults:
        message = f"Resource '{name}' was disallowed by policy. Fields: {', '.join(faults)}."
        raise ArmError(403, "RequestDisallowedByPolicy", message, target=name)
