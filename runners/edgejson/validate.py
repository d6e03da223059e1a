"""`python -m runners.edgejson.validate train.jsonl test.jsonl`: make the eleven checks and say what each found.

Exit code 0 when all pass, 1 when one fails; the checks themselves are in `checks` and `mutate`.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from registry.errors import HoldfastError
from runners.edgejson.checks import CHECKS, SELF_TEST, Result, validate
from runners.edgejson.mutate import self_test
from runners.edgejson.rows import TEST, TRAIN, read_rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Check files and print what was found; returns the exit code: 0, 1 when a check fails, or the error's."""
    parser = argparse.ArgumentParser(prog="python -m runners.edgejson.validate", description=__doc__.splitlines()[0])
    parser.add_argument(
        "files", nargs="+", type=Path, help="JSON-lines files; the one with `train` in its name is train"
    )
    parser.add_argument(
        "--only", action="append", default=[], choices=[*CHECKS, SELF_TEST], help="make this check alone"
    )
    parser.add_argument("--lines", action="store_true", help="print findings as JSON lines, for `registry dataset`")
    asked = parser.parse_args(arguments)
    try:
        rows = read_rows(asked.files)
    except HoldfastError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    wanted = asked.only or [*CHECKS, SELF_TEST]
    results = validate(rows, set(wanted) - {SELF_TEST}) if wanted != [SELF_TEST] else []
    if SELF_TEST in wanted:
        results.append(self_test(rows))
    for result in results:
        _print_lines(result) if asked.lines else _print_result(result)
    return 0 if all(result.passed for result in results) else 1


def _print_lines(result: Result) -> None:
    if result.passed:
        return
    for one in result.findings:
        row = {"record": one.row.number, "file": one.row.file} if one.row else {}
        print(json.dumps({**row, "message": one.message}, ensure_ascii=False))


def _print_result(result: Result) -> None:
    topics = Counter(one.topic for one in result.findings if one.topic)
    shown = f" ({', '.join(f'{n} {topic}' for topic, n in topics.most_common())})" if topics else ""
    word = "pass" if result.passed else "FAIL"
    of = f"{len(result.findings)} of {result.n_checked}{shown}"
    print(f"{result.id:>4} {word}  {result.title}: {of}")
    for topic in sorted(topics):
        rows = result.rows(topic)
        by_split = ", ".join(f"{len(result.rows(topic, split))} {split}" for split in (TRAIN, TEST))
        print(f"           {topic}: {len(rows)} rows ({by_split})")
    for rule, n in Counter(one.rule for one in result.findings if one.rule).most_common():
        print(f"           {rule}: {n} rows")
    for one in result.findings[:3]:
        where = f"{one.row.file}:{one.row.number}: " if one.row else ""
        print(f"           {where}{one.message}")
    for warning in result.warnings:
        print(f"           warning: {warning}")


if __name__ == "__main__":
    sys.exit(main())
