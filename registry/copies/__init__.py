"""Copies of artifacts on remotes: making, reading back, finding, mending and dropping them.

Every change is an event in the record; the state of a copy is computed from its events at each look.
"""

from registry.copies.alerts import custody_alerts
from registry.copies.overview import (
    ArtifactCustody,
    CopyState,
    artifact_custody,
    local_copy_paths,
    unverified_counts,
    where_run,
)
from registry.copies.remotes import marker_findings

__all__ = [
    "ArtifactCustody",
    "CopyState",
    "artifact_custody",
    "custody_alerts",
    "local_copy_paths",
    "marker_findings",
    "unverified_counts",
    "where_run",
]
