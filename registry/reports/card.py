"""The model card of a run: what it is, what it was trained on, what its numbers rest on, where it is kept, and what is
known to be wrong with it. Every line comes from the record.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlmodel import Session

from registry import clock
from registry.alert import Alert
from registry.dataset_views import UNREGISTERED
from registry.queries import RunDetail, show_run
from registry.reports import page
from registry.settings import Settings

_COUNTED = ("best", "checkpoint", "last")


def card_report(session: Session, settings: Settings, run_id: str, alerts: Iterable[Alert]) -> str:
    """Return the model card of a run; `alerts` are those of the whole registry."""
    detail = show_run(session, settings, run_id)
    run = detail.summary
    own = [alert for alert in alerts if run.id in alert.subject or run.id in alert.message]
    lines = page.head(session, f"Model card: {run.name}", [run])
    if run.invalid:
        lines += [f"**INVALID: {page.plain(run.invalid)}. Its numbers are not to be quoted.**", ""]
    lines += page.section("Run", _about(detail))
    lines += page.section("Weights and copies", _weights(detail))
    lines += page.section("Data", _data(detail))
    lines += page.section("Targets", target_table(detail.gates))
    lines += page.section("Numbers", _numbers(detail))
    lines += page.section("Beside it", _baselines(detail))
    lines += page.section("Deployments", _deployments(detail))
    lines += page.section("Known limits", limits(detail, own))
    lines += page.section("Params", (f"- {page.plain(k)}: {page.plain(v)}" for k, v in sorted(run.params.items())))
    return "\n".join(lines)


def _about(detail: RunDetail) -> Iterator[str]:
    run, git = detail.summary, detail.git
    yield f"- id: {run.id}, experiment {page.plain(run.experiment)}"
    yield f"- status: {run.status}" + (f" ({page.plain(run.evidence)})" if run.evidence else "")
    took = "" if run.duration_s is None else f", took {clock.age(run.duration_s)}"
    yield f"- started: {page.when(run.started_at) or 'unknown'} UTC{took}"
    if detail.command:
        yield f"- command: `{' '.join(detail.command)}`"
    if git:
        yield f"- code: {git['commit'][:12]}{' with uncommitted changes' if git.get('dirty') else ''}"
    machine = [detail.host.get("name"), detail.device.get("gpu") or detail.device.get("cpu")]
    if any(machine):
        yield f"- machine: {page.plain(', '.join(str(part) for part in machine if part))}"
    yield f"- cost: {page.money(run.cost) or 'no price is known'}"


def _weights(detail: RunDetail) -> list[str]:
    rows = []
    for artifact in detail.artifacts:
        copies = ", ".join(f"{copy['remote']} {copy['state']}" for copy in artifact["copies"]) or "none"
        name = artifact["path"].rpartition("/")[2]
        size = f"{artifact['size_bytes']:,}"
        rows.append([artifact["role"], name, artifact["step"], size, artifact["digest"][:16], copies])
    return page.table(["role", "file", "step", "bytes", "sha256", "copies"], rows)


def _data(detail: RunDetail) -> list[str]:
    rows = [
        [
            data["role"],
            f"{data['name']}@{data['version']}",
            data["state"],
            page.plain(data["reason"] or "")
            + (f" (superseded by {data['superseded_by']})" if data["superseded_by"] else "")
            + (f" (used all the same: {page.plain(data['override'])})" if data["override"] else ""),
        ]
        for data in detail.datasets
    ]
    return page.table(["role", "data set", "state", "reason"], rows)


def target_table(gates: Iterable[dict[str, Any]]) -> list[str]:
    """Return the targets of a run: metric, what was asked, what was achieved, and the verdict with its reason."""
    rows = [
        [
            page.plain(f"{gate['suite']} {gate['stage']}".strip()),
            page.plain(gate["metric"]) + ("" if gate["required"] else " (advisory)"),
            _threshold(gate["op"], gate["threshold"]),
            "" if gate["observed"] is None else page.number(gate["observed"], gate["basis"]) + _interval(gate),
            gate["verdict"],
            page.plain(gate["reason"]),
        ]
        for gate in gates
    ]
    return page.table(["suite", "metric", "target", "achieved", "status", "reason"], rows)


def _threshold(op: str, threshold: Any) -> str:
    if isinstance(threshold, list | tuple):
        return f"{threshold[0]:g} to {threshold[1]:g}"
    return f"{op.replace('_', ' ')} {threshold:g}"


def _interval(of: dict[str, Any]) -> str:
    return f" [{of['low']:.6g}, {of['high']:.6g}]" if of.get("low") is not None and of.get("high") is not None else ""


def _numbers(detail: RunDetail) -> list[str]:
    rows = [
        [
            page.plain(name),
            page.value(metric),
            page.number(metric.last, metric.basis) if metric.count else "",
            metric.basis,
            metric.goal or "",
            metric.count,
            metric.non_finite or "",
        ]
        for name, metric in detail.summary.metrics.items()
    ]
    return page.table(["metric", "best@step", "last", "basis", "goal", "values", "not finite"], rows)


def _baselines(detail: RunDetail) -> list[str]:
    """Return the scores of controls and baselines that the run itself recorded."""
    rows = [
        [
            page.plain(found["subject"]),
            page.plain(name),
            page.number(of["value"], found["basis"]) + _interval(of),
            of["n"],
        ]
        for found in detail.evaluations
        if found["subject"]
        for name, of in found["values"].items()
    ]
    return page.table(["control or baseline", "metric", "value", "cases"], rows)


def _deployments(detail: RunDetail) -> list[str]:
    rows = [
        [d["target"], d["since"], d["until"] or "now", d["by"], page.plain(d["reason"]), ", ".join(d["overrides"])]
        for d in detail.deployments
    ]
    return page.table(["target", "since", "until", "by", "reason", "overrides"], rows)


def limits(detail: RunDetail, alerts: Iterable[Alert]) -> Iterator[str]:
    """Return what is known to be wrong with a run or missing in its record, one line each."""
    run = detail.summary
    if run.status != "finished":
        yield f"- the run did not finish: {run.status}"
    weights = [artifact for artifact in detail.artifacts if artifact["role"] in _COUNTED]
    if not weights:
        yield "- no weights are recorded"
    unsafe = [a["path"].rpartition("/")[2] for a in weights if not a["verified_counting"]]
    if unsafe:
        yield f"- no verified copy elsewhere: {page.plain(', '.join(unsafe))}"
    for data in detail.datasets:
        if data["state"] in ("unchecked", UNREGISTERED):
            yield f"- data that was never checked: {data['name']}@{data['version']} ({data['role']})"
    if not detail.gates:
        yield "- no gates: nobody said what it must reach"
    for gate in detail.gates:
        if gate["verdict"] != "pass":
            yield f"- gate {page.plain(gate['name'])} reads {gate['verdict']}: {page.plain(gate['reason'])}"
    loose = [name for name, metric in run.metrics.items() if metric.basis != "measured"]
    if loose:
        yield f"- not measured but sampled or estimated: {page.plain(', '.join(loose))}"
    yield from (f"- {page.plain(alert.message)}" for alert in alerts if alert.code in _TOLD)


_TOLD = ("metric-not-finite", "bases-disagree", "metric-collapsed", "best-too-early", "checkpoint-not-best",
         "dataset-other-bytes", "override-in-force")  # fmt: skip
