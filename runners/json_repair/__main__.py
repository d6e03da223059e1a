"""`python -m runners.json_repair repair FILE`: broken JSON in, JSON out, on stdout; how sure it is, on stderr.

The model is the deployed one unless a weight file or a repairer without weights is named. A text that parses comes out
as it went in.
"""

import argparse
import codecs
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from registry.errors import HoldfastError, NotFoundError, UsageError
from runners.json_repair import rivals
from runners.json_repair.repair import (
    FALLBACK,
    UNCHANGED,
    UNSURE_BELOW,
    Repair,
    Repairer,
    WithFallback,
    grammar_repairer,
    repair_all,
)

GRAMMAR = "grammar"
EVALUATED_CASES = 100
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the words ask for and return the exit code: 0, or the error's."""
    asked = _parser().parse_args(arguments)
    try:
        return asked.do(asked)
    except HoldfastError as error:
        print(f"error: {error}" + (f"\n  {error.hint}" if error.hint else ""), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runners.json_repair", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    repair = commands.add_parser("repair", help="repair one text")
    repair.add_argument("file", metavar="FILE|-", help="the broken text; - reads stdin")
    _add_model(repair)
    repair.add_argument(
        "--fallback", action="store_true", help="take the heuristic's answer where the model is unsure and that parses"
    )
    repair.add_argument(
        "--below",
        type=_share,
        default=UNSURE_BELOW,
        metavar="P",
        help="unsure is below P (default %(default)s)",
    )
    repair.add_argument("--json", action="store_true", help="print text, confidence and source as one JSON object")
    repair.set_defaults(do=_repair)
    evaluation = commands.add_parser("evaluate", help="score a model beside the repairers installed here")
    _add_model(evaluation)
    evaluation.add_argument(
        "--documents", default="installed", metavar="PLACE", help="installed, synthetic, a folder or a JSON lines file"
    )
    evaluation.add_argument(
        "--cases", type=_count, default=EVALUATED_CASES, help="cases of each corruption type (default %(default)s)"
    )
    evaluation.add_argument("--compact", action="store_true", help="without any white space: no indentation helps")
    evaluation.add_argument("--seed", type=int, default=0, help="seed of the cases (default 0)")
    evaluation.set_defaults(do=_evaluate)
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="WHICH",
        help=f"a weight file; `{GRAMMAR}` (no network); or a repairer installed here; default: what is deployed",
    )
    parser.add_argument("--target", default="production", help="where it is deployed (default %(default)s)")
    parser.add_argument("--db", metavar="URL", help="the registry (default: the nearest runs.db upward)")


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: a number from 0 to 1")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1")
    return value


# --- which model


def _open_model(asked: argparse.Namespace) -> Repairer:
    """Return the repairer that is asked for. Raises NotFoundError or UsageError with a line that says what there is."""
    if asked.model is None:
        with _deployed_weights(asked.target, asked.db) as path:
            return _load(path)
    if asked.model == GRAMMAR:
        return grammar_repairer()
    by_name = {rival.name: rival for rival in rivals.installed_rivals()}
    if asked.model in by_name:
        return by_name[asked.model]
    if not Path(asked.model).exists():
        names = ", ".join([GRAMMAR, *by_name])
        raise NotFoundError(f"no weight file {asked.model}", hint=f"without weights there are: {names}")
    return _load(Path(asked.model))


def _load(path: Path) -> Repairer:
    import torch

    from runners.json_repair.load import load_repairer

    torch.set_num_threads(1)
    return load_repairer(path)


@contextmanager
def _deployed_weights(target: str, db: str | None) -> Iterator[Path]:
    """Yield a copy of the deployed weights that was compared with its digest."""
    import registry
    from runners.serving.deployed import find_deployed, proven_copy

    with registry.open(db) as record:
        try:
            deployed = find_deployed(record, target)
        except NotFoundError as error:
            hint = f"registry train json_repair, then registry promote RUN; or --model {GRAMMAR}: no weights"
            raise NotFoundError(error.message, hint=hint) from None
        if deployed.family != "json_repair":
            raise UsageError(f"{target} serves {deployed.family}, not json_repair", hint="name another --target")
        with proven_copy(deployed) as folder:
            weights = next(folder.glob("*.safetensors"), None)
            if weights is None:
                raise NotFoundError(f"what serves {target} holds no weights", hint="promote a run's best")
            yield weights


# --- repair


def _repair(asked: argparse.Namespace) -> int:
    text = _read(asked.file)
    if not text.strip():
        raise UsageError(f"{asked.file} is empty", hint="give the text that should have been JSON")
    repairer = _open_model(asked)
    if asked.fallback:
        repairer = WithFallback(repairer, rivals.heuristic(), asked.below)
    repair = repair_all(repairer, [text])[0]
    if asked.json:
        print(json.dumps(vars(repair)))
    else:
        sys.stdout.write(repair.text if repair.source == UNCHANGED else repair.text + "\n")
        _tell(repair, asked.below)
    return 0


def _read(place: str) -> str:
    """Return a text from a file or stdin, by its byte order mark, else UTF-8, else Latin-1 (and that is said)."""
    try:
        content = sys.stdin.buffer.read() if place == "-" else Path(place).read_bytes()
    except OSError as error:
        raise NotFoundError(f"cannot read {place}: {error.strerror}", hint="give a file, or - for stdin") from None
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        print(f"{place} is not {encoding}; read as latin-1", file=sys.stderr)
        return content.decode("latin-1")


def _tell(repair: Repair, below: float) -> None:
    if repair.source == UNCHANGED:
        print("unchanged: it parses", file=sys.stderr)
    elif repair.confidence is None:
        print("repaired; how sure it is, it does not say", file=sys.stderr)
    elif repair.source == FALLBACK:
        print(f"{rivals.HEURISTIC} answered: the model's confidence was {repair.confidence:.2f}", file=sys.stderr)
    else:
        unsure = " - unsure, look at it" if repair.confidence < below else ""
        print(f"repaired, confidence {repair.confidence:.2f}{unsure}", file=sys.stderr)


# --- evaluate


def _evaluate(asked: argparse.Namespace) -> int:
    from runners.json_repair import evaluate as evaluation
    from runners.json_repair.documents import compact, open_documents
    from runners.json_repair.grammar import strict_loads

    repairer = _open_model(asked)
    texts = open_documents(asked.documents, asked.seed, 2_000).test
    texts = tuple(compact(strict_loads(text)) for text in texts) if asked.compact else texts
    cases = evaluation.make_cases(texts, asked.cases, asked.seed)
    rows = {repairer.name: evaluation.evaluate(repairer, cases)} | evaluation.control_results(cases)
    print("\n".join(evaluation.table(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
