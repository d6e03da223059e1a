"""Copies of artifacts on remotes: making, reading back, finding, mending and dropping them.

Every change is an event in the record; the state of a copy is computed from its events at each look.
"""

from registry.copies.alerts import custody_alerts
from registry.copies.overview import (
    ArtifactCustody,
    CopyState,
    artifact_custody,
    unverified_counts,
    where_run,
)

__all__ = [
    "ArtifactCustody",
    "CopyState",
    "artifact_custody",
    "custody_alerts",
    "unverified_counts",
    "where_run",
]
