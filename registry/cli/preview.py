"""How `registry watch --preview` looks: runs, their metrics, what was not understood and why, what grammar to add."""

from pathlib import Path

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from registry.cli.output import number, out, word
from registry.ingest.preview import FilePreview, Preview, RunPreview, look_ahead
from registry.places import registry_url, root_folder
from registry.settings import load_settings

MAX_SERIES_SHOWN = 60


def show(path: Path, *, as_json: bool, db_url: str | None) -> None:
    """Print what `path` would become."""
    preview = look_ahead(path, load_settings(root_folder(registry_url(db_url))))
    if as_json:
        out.json(preview.as_json())
        return
    for run in preview.runs:
        _show_run(run)
    for file in preview.unused:
        out.show(_file_tree(file, "makes no run"))
    if not preview.runs and not preview.unused:
        out.line(f"{path}: nothing here carries metrics")
    _show_grammar(preview)


def _show_run(run: RunPreview) -> None:
    out.show(Text.assemble(("run ", "dim"), (run.name, "bold"), "  ", word(run.status), "  ", (run.evidence, "dim")))
    table = Table(box=None, pad_edge=False)
    for name, justify in (("metric", "left"), ("points", "right"), ("first", "right"), ("last", "right")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    table.add_column("from")
    table.add_column("confidence")
    for series in run.series[:MAX_SERIES_SHOWN]:
        count = f"{series.count:,}" + (f" ({series.non_finite} not finite)" if series.non_finite else "")
        cells = [series.name, count, _point(series.first), _point(series.last), series.source, series.confidence]
        table.add_row(*map(Text, cells))
    out.show(table)
    if len(run.series) > MAX_SERIES_SHOWN:
        out.line(f"… {MAX_SERIES_SHOWN} of {len(run.series)} metrics", style="dim")
    if run.params:
        shown = ", ".join(f"{key}={value}" for key, value in list(run.params.items())[:12])
        out.line(f"params: {shown}" + (f" … {len(run.params)} in all" if len(run.params) > 12 else ""), style="dim")
    for file in run.files:
        if file.n_missed or file.waiting or file.reason:
            out.show(_file_tree(file, ""))


def _point(point: list[float | int | None]) -> str:
    step, value = point
    return f"{number(value)} @ {'-' if step is None else step}"


def _file_tree(file: FilePreview, verdict: str) -> Tree:
    tree = Tree(Text.assemble((file.path, "bold"), f"  {file.format}  {verdict}"))
    if file.reason:
        tree.add(Text(file.reason))
    for shape, n in list(file.waiting.items())[:6]:
        tree.add(Text(f"seen {n} times, not enough to be sure: {shape}"))
    if file.n_missed:
        branch = tree.add(Text(f"{file.n_missed} lines with numbers were not understood, such as"))
        for sample in file.samples:
            branch.add(Text(sample[:160]))
    return tree


def _show_grammar(preview: Preview) -> None:
    if preview.grammar is not None:
        out.line("To read such lines, add to registry.toml and adapt:")
        out.line(preview.grammar)
