"""Kubernetes: both halves of the pair in one Secret, changed by one PATCH, so that they are never torn."""

from keyrota.targets.kubernetes.provider import KIND
from keyrota.targets.kubernetes.target import KubernetesTarget

__all__ = ["KIND", "KubernetesTarget"]
