"""What a report says, run by run, gathered from its tables, its lists and its `Key: value` lines; whatever looked like
a result and was not understood is kept with its line and the reason.
"""

import re
from collections.abc import Iterable, Sequence

from registry.importers.markdown.cells import is_missing, plain, target_of, value_of
from registry.importers.markdown.document import Fence, Heading, Paragraph, Placed, Table, read_document
from registry.importers.markdown.encoding import Repaired
from registry.importers.markdown.names import MetricName, dataset_of, dates_in, experiment_of, run_key, slug
from registry.importers.markdown.said import LeftOut, Report, ReportedRun, Said, Wanted

_RUN_HEADS = {"model", "model name", "run", "run name", "name", "variant", "checkpoint", "experiment"}
_TOOL_HEADS = {"tool", "baseline", "method", "system", "approach compared"}
_METRIC_HEADS = {"metric", "test", "measure", "gate", "metrics", "criterion"}
_TARGET_HEADS = {"target", "threshold", "goal", "requirement", "required", "targets"}
_VALUE_HEADS = {"result", "results", "value", "achieved", "score", "actual", "measured", "final", "ours"}
_STATUS_HEADS = {"status", "verdict", "outcome"}
_DATE_HEADS = {"date", "date/time", "time", "when", "started", "created"}
_STEP_HEADS = {"epoch", "epochs", "step", "steps", "iteration"}
_IGNORED_HEADS = {"#", "no", "no.", "rank", "improvement", "change", "delta", "gap", "difference", "vs base", "notes",
                  "note", "comment", "comments", "analysis"}  # fmt: skip
_RESULT_WORDS = re.compile(r"\b(results?|statistics|performance|metrics?)\b", re.IGNORECASE)
_CONFIG_WORDS = re.compile(r"\b(config|configuration|settings|hyper-?parameters|setup)\b", re.IGNORECASE)
_EXPECTED = re.compile(r"\b(expected|projected|planned|estimated)\b", re.IGNORECASE)
_STEP = re.compile(r"\bepoch\s+(\d+)", re.IGNORECASE)
_N_CASES = re.compile(r"\((\d[\d,]*)\s+(?:samples|examples|cases|documents|records)\)", re.IGNORECASE)
_PLANS = re.compile(
    r"\b(next|future|plans?|path forward|options?|recommend\w*|adjust|success criteria|expected)\b", re.IGNORECASE
)
_INPUTS = {"parameters", "params", "total epochs", "epochs", "training time", "session duration", "duration"}
"""List items that are inputs of a run or its circumstances, whatever section they stand in."""
_FIELD = re.compile(r"(?P<key>[^:|]{2,60}):\s+(?P<value>\S.*)")
_LABELLED = re.compile(r"(?P<value>[~+\-]?[\d.,]+%?)\s+(?P<label>[A-Za-z][\w-]*)")
_KEPT_FIELDS = {"path", "size", "architecture", "model", "purpose", "approach", "losses", "data", "epochs"}


def read_report(content: Repaired) -> Report:
    """Return what a report says of which runs."""
    return _Reader(content).report()


class _Reader:
    """Reads one report from top to bottom."""

    def __init__(self, content: Repaired) -> None:
        self._content = content
        self._placed = read_document(content.text)
        self._runs: dict[str, ReportedRun] = {}
        self._left_out: list[LeftOut] = []
        self._title = next((p.block.text for p in self._placed if isinstance(p.block, Heading)), "")
        years = re.findall(r"\b(20\d\d)\b", content.text)
        self._year = int(max(set(years), key=years.count)) if years else None
        self._fields = self._document_fields()
        self._main: ReportedRun | None = None

    def report(self) -> Report:
        tables = [(placed, placed.block) for placed in self._placed if isinstance(placed.block, Table)]
        for _, table in tables:
            self._name_runs(table)
        self._choose_main()
        for placed in self._placed:
            if isinstance(placed.block, Table):
                self._read_table(placed, placed.block)
            elif isinstance(placed.block, Paragraph):
                self._read_paragraph(placed, placed.block)
            elif isinstance(placed.block, Fence) and any(_CONFIG_WORDS.search(words) for words in placed.headings):
                self._read_config(placed, placed.block.lines)
        return Report(
            title=plain(self._title),
            experiment=experiment_of(self._title),
            at=self._document_date(),
            status=plain(self._fields.get("status", "")),
            encoding=self._content,
            runs=[run for run in self._runs.values() if run.said or run.status_words],
            left_out=self._left_out,
        )

    # --- the document as a whole

    def _document_fields(self) -> dict[str, str]:
        """Return the `Key: value` lines above the first section."""
        fields: dict[str, str] = {}
        for placed in self._placed:
            if len(placed.headings) > 1:
                break
            if isinstance(placed.block, Paragraph):
                for line in placed.block.lines:
                    if match := _FIELD.fullmatch(plain_field(line)):
                        fields.setdefault(match["key"].strip().lower(), line.partition(":")[2].strip("* "))
        return fields

    def _document_date(self) -> float | None:
        words = " ".join(self._fields.get(key, "") for key in ("date", "generated", "last updated"))
        return next((at for at, _ in dates_in(words, self._year)), None)

    def _name_runs(self, table: Table) -> None:
        """Make a run of every row of a table of runs, and of every column that is one."""
        heads = [_head(cell) for cell in table.header]
        if (column := _first(heads, _RUN_HEADS)) is not None:
            for row in table.rows:
                self._run(row[column])
        elif heads[0] in _METRIC_HEADS:
            for cell in self._run_columns(table):
                if not _EXPECTED.search(table.header[cell]):
                    self._run(table.header[cell])

    @staticmethod
    def _run_columns(table: Table) -> list[int]:
        """Return the columns of a table of metrics that are runs of their own."""
        known = _TARGET_HEADS | _VALUE_HEADS | _STATUS_HEADS | _IGNORED_HEADS | _METRIC_HEADS
        return [i for i, cell in enumerate(table.header) if _head(cell) not in known and not _split_of(cell)]

    def _run(self, name: str) -> ReportedRun:
        words = plain(name)
        return self._runs.setdefault(run_key(words), ReportedRun(words))

    def _choose_main(self) -> None:
        """Decide which run speaks where none is named: the only trained one, or the report itself when it has none."""
        trained = [run for run in self._runs.values() if not run_key(run.name).startswith("base")]
        if not self._runs:
            self._main = self._run(_own_name(self._title))
        elif len(trained) == 1:
            self._main = trained[0]
        status = self._fields.get("status", "")
        for run in self._runs.values():
            if run is self._main and status:
                run.judged(status)
            if len(trained) <= 1:
                run.at = self._document_date()
                self._use_datasets(run, is_trained=run is self._main)
        if self._main is not None and "model" in self._fields:
            self._main.params.setdefault("model", plain(self._fields["model"]))

    def _use_datasets(self, run: ReportedRun, *, is_trained: bool) -> None:
        for key, value in self._fields.items():
            found = dataset_of(value) if "data" in key else None
            if found is None:
                continue
            role = found[2] or ("test" if "test" in key or "eval" in key else "train")
            if is_trained or role != "train":
                run.datasets.append((found[0], found[1], role))

    def _run_at(self, placed: Placed) -> ReportedRun | None:
        """Return the run that the words around a block name, the nearest words first."""
        for words in placed.context:
            key = f" {run_key(words)} "
            named = [run for known, run in self._runs.items() if f" {known} " in key and run is not self._main]
            if named:
                return max(named, key=lambda run: len(run.name))
        return self._main

    # --- tables

    def _read_table(self, placed: Placed, table: Table) -> None:
        heads = [_head(cell) for cell in table.header]
        if (column := _first(heads, _RUN_HEADS)) is not None:
            self._table_of_runs(table, heads, column)
        elif heads[0] in _TOOL_HEADS:
            self._table_of_baselines(placed, table)
        elif (column := _first(heads, _STEP_HEADS)) is not None:
            self._table_of_steps(placed, table, column)
        elif heads[0] in _METRIC_HEADS:
            self._table_of_metrics(placed, table, heads)
        else:
            self._table_of_categories(placed, table, heads)

    def _table_of_runs(self, table: Table, heads: list[str], name_column: int) -> None:
        metrics = [i for i, head in enumerate(heads) if i != name_column and self._is_metric_column(table, i, head)]
        for row, line in zip(table.rows, table.row_lines, strict=True):
            run = self._run(row[name_column])
            for column, (head, cell) in enumerate(zip(heads, row, strict=True)):
                if column in metrics:
                    self._take(run, MetricName(table.header[column]), cell, line)
                elif head in _STATUS_HEADS:
                    run.judged(cell)
                elif head in _DATE_HEADS:
                    run.dated(cell, self._year)
                elif column != name_column and head not in _IGNORED_HEADS and not is_missing(cell):
                    run.params.setdefault(slug(table.header[column]), plain(cell))

    @staticmethod
    def _is_metric_column(table: Table, column: int, head: str) -> bool:
        if head in _STATUS_HEADS | _DATE_HEADS | _IGNORED_HEADS:
            return False
        cells = [row[column] for row in table.rows if not is_missing(row[column])]
        return sum(value_of(cell) is not None for cell in cells) * 2 > len(cells)

    def _table_of_baselines(self, placed: Placed, table: Table) -> None:
        run = self._run_at(placed)
        for row, line in zip(table.rows, table.row_lines, strict=True):
            if run is None:
                self._leave(line, row, "it names no run")
                continue
            basis = "estimated" if any(_EXPECTED.search(cell) for cell in row) else None
            for head, cell in zip(table.header[1:], row[1:], strict=True):
                if _head(head) not in _IGNORED_HEADS:
                    self._take(run, MetricName(head), cell, line, subject=plain(row[0]), basis=basis)

    def _table_of_steps(self, placed: Placed, table: Table, step_column: int) -> None:
        run = self._run_at(placed)
        for row, line in zip(table.rows, table.row_lines, strict=True):
            steps = re.findall(r"\d+", plain(row[step_column]))
            if run is None or not steps:
                self._leave(line, row, "it names no run" if run is None else "it names no step")
                continue
            for column, cell in enumerate(row):
                head = _head(table.header[column])
                if column != step_column and head not in _STATUS_HEADS | _IGNORED_HEADS and value_of(cell):
                    self._take(run, MetricName(table.header[column]), cell, line, step=int(steps[-1]), is_course=True)

    def _table_of_metrics(self, placed: Placed, table: Table, heads: list[str]) -> None:
        target_column = _first(heads, _TARGET_HEADS)
        run_columns = self._run_columns(table)
        for row, line in zip(table.rows, table.row_lines, strict=True):
            for column in range(1, len(row)):
                if column == target_column or heads[column] in _STATUS_HEADS | _IGNORED_HEADS:
                    continue
                if _EXPECTED.search(table.header[column]):
                    self._leave(line, (row[0], row[column]), f"{plain(table.header[column])} is no measurement")
                    continue
                run = self._run(table.header[column]) if column in run_columns else self._run_at(placed)
                if run is None:
                    self._leave(line, row, "it names no run")
                    break
                metric = MetricName(row[0], _split_of(table.header[column]))
                taken = self._take(run, metric, row[column], line, step=_step_near(placed), n=_cases_near(placed))
                if target_column is not None and taken:
                    self._want(run, metric, row[target_column], line)

    def _table_of_categories(self, placed: Placed, table: Table, heads: list[str]) -> None:
        """Read a breakdown: one row a category, one metric a column."""
        run = self._run_at(placed)
        columns = [i for i in range(1, len(heads)) if self._is_metric_column(table, i, heads[i])]
        if run is None or not columns:
            why = "it names no run" if run is None else "no column of it holds numbers"
            self._leave(table.line, table.header, why)
            return
        for row, line in zip(table.rows, table.row_lines, strict=True):
            for column in columns:
                metric = MetricName(table.header[column])
                self._take(run, metric, row[column], line, category=plain(row[0]), step=_step_near(placed))

    # --- text

    def _read_paragraph(self, placed: Placed, paragraph: Paragraph) -> None:
        is_config = any(_CONFIG_WORDS.search(words) for words in placed.context[:2])
        is_result = any(_RESULT_WORDS.search(words) for words in placed.context[:2]) and paragraph.is_item
        if len(placed.headings) < 2 or any(_PLANS.search(words) for words in placed.context[:-1]):
            return
        for line in paragraph.lines:
            match = _FIELD.fullmatch(plain_field(line))
            if match is None:
                continue
            key, value = match["key"].strip(), line.partition(":")[2].strip("* ")
            if (is_config and not is_result) or key.lower() in _INPUTS:
                self._param(placed, key, value)
            elif is_result:
                self._read_item(placed, paragraph.line, key, value)
            else:
                self._read_field(placed, paragraph.line, key, value)

    def _read_config(self, placed: Placed, lines: Iterable[str]) -> None:
        for line in lines:
            if match := _FIELD.fullmatch(line.strip()):
                self._param(placed, match["key"], match["value"])

    def _param(self, placed: Placed, key: str, value: str) -> None:
        run = self._run_at(placed)
        if run is None:
            return
        run.params.setdefault(slug(key), plain(value))
        found = dataset_of(value) if "data" in key.lower() else None
        if found:
            run.datasets.append((found[0], found[1], found[2] or "train"))

    def _read_item(self, placed: Placed, line: int, key: str, value: str) -> None:
        run = self._run_at(placed)
        if run is None:
            if value_of(value):
                self._leave(line, (key, value), "it names no run")
            return
        if value_of(value) is not None:
            self._take(run, MetricName(key), value, line, n=_cases_near(placed))
            return
        labelled = list(_LABELLED.finditer(plain(value)))
        for match in labelled if len(labelled) > 1 else ():
            self._take(run, MetricName(key), match["value"].rstrip(","), line, category=match["label"])

    def _read_field(self, placed: Placed, line: int, key: str, value: str) -> None:
        """Read a line of a run's own section: its status, its date, the gates it passed, what it is made of."""
        run = self._run_at(placed)
        if run is None or (run is self._main and len(self._runs) > 1):
            return
        word = key.lower()
        if word == "status":
            run.judged(value)
        elif word in ("created", "date"):
            run.dated(value, self._year)
        elif "gates" in word and value_of(value):
            self._take(run, MetricName(key), value, line)
        elif word in _KEPT_FIELDS:
            run.params.setdefault(slug(key), plain(value))

    # --- taking

    def _take(
        self,
        run: ReportedRun,
        metric: MetricName,
        cell: str,
        line: int,
        *,
        step: int | None = None,
        basis: str | None = None,
        subject: str | None = None,
        category: str = "",
        n: int | None = None,
        is_course: bool = False,
    ) -> bool:
        """Note what a cell says; returns whether it says a number."""
        value = value_of(cell)
        if value is None or not metric.full:
            if not is_missing(cell):
                why = "no number stands there" if metric.full else "it names no metric"
                self._leave(line, (metric.full, cell), why)
            return False
        own_step = value.step if value.step is not None else None if metric.is_best else step
        said_basis = "estimated" if value.is_estimate else basis or metric.basis
        run.said.append(Said(metric, value, line, own_step, said_basis, subject, category, n, is_course))
        return True

    def _want(self, run: ReportedRun, metric: MetricName, cell: str, line: int) -> None:
        target = target_of(cell)
        if target is not None:
            run.wanted.append(Wanted(metric, target))
        elif not is_missing(cell):
            self._leave(line, (metric.full, cell), "the target cannot be compared with a number")

    def _leave(self, line: int, cells: Sequence[str], why: str) -> None:
        text = " | ".join(plain(cell) for cell in cells)
        self._left_out.append(LeftOut(line, text[:160], why))


def plain_field(line: str) -> str:
    """Return a `**Key**: value` line without its marks."""
    return plain(line).strip("- ")


def _head(cell: str) -> str:
    return plain(cell).lower()


def _first(heads: Sequence[str], words: set[str]) -> int | None:
    return next((i for i, head in enumerate(heads) if head in words), None)


def _split_of(cell: str) -> str:
    """Return the split that a column of values is about: `VAL Score`."""
    words = _head(cell).split()
    if len(words) == 2 and words[1] in _VALUE_HEADS:
        return MetricName(cell).split
    return ""


def _step_near(placed: Placed) -> int | None:
    for words in placed.context[:-1]:
        if match := _STEP.search(words):
            return int(match[1])
    return None


def _cases_near(placed: Placed) -> int | None:
    match = _N_CASES.search(placed.label)
    return int(match[1].replace(",", "")) if match else None


def _own_name(title: str) -> str:
    """Return a name for the only run of a report: its title without what every report's title says."""
    wanted = experiment_of(title).split("-")
    words = [word for word in re.findall(r"[\w.+]+", plain(title)) if word.casefold() in wanted]
    return " ".join(dict.fromkeys(words)) or plain(title) or "report"
