"""`python -m runners.ternary_vae`: validate a trained run, or check a claimed coverage."""

import argparse
import json
import sys
from collections.abc import Sequence

from registry.errors import HoldfastError, UsageError


def main(words: Sequence[str] | None = None) -> int:
    """Do what the words say; return the exit code."""
    options = _parser().parse_args(words)
    try:
        return options.do(options)
    except HoldfastError as error:
        print(f"ternary_vae: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    from runners.ternary_vae.checks import TESTS, describe_tests

    parser = argparse.ArgumentParser(prog="python -m runners.ternary_vae", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listed = "\n".join(f"  {name:<17} {what}" for name, what in describe_tests())
    validate = commands.add_parser(
        "validate",
        help="make the twelve tests of a run and record them against its best weights",
        description=f"Tests, recorded as a child run with the gates of `ternary-vae-validation`:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    validate.add_argument("run", help="a run's id, the beginning of one, or its name")
    validate.add_argument(
        "--test", action="append", choices=TESTS, metavar="NAME", help="this one; may be repeated; default all"
    )
    validate.add_argument(
        "--preset",
        choices=("own", "smoke", "cpu"),
        default="smoke",
        help="size of the models trained anew; default smoke",
    )
    validate.add_argument("--seeds", type=int, default=3, help="seeds of seed_variance, at least 2; default 3")
    validate.add_argument("--db", help="the registry; default: the nearest runs.db upward")
    validate.add_argument("--json", action="store_true", help="print the result as JSON")
    validate.set_defaults(do=_validate)
    claim = commands.add_parser("claim", help="say whether a coverage can be true, and how efficient it is")
    claim.add_argument("coverage", help="a share (0.8646), a percentage (86.46%%) or a number of operations (17017)")
    claim.add_argument("--draws", type=int, required=True, metavar="K", help="independent draws behind it")
    claim.set_defaults(do=_claim)
    return parser


def _validate(options: argparse.Namespace) -> int:
    from runners.ternary_vae.validate import validate

    if options.seeds < 2:
        raise UsageError(f"--seeds {options.seeds}: a spread needs at least 2")
    outcome = validate(
        options.run,
        list(dict.fromkeys(options.test or ())),
        preset=options.preset,
        n_seeds=options.seeds,
        db=options.db,
    )
    judged = outcome.verdicts
    if options.json:
        print(json.dumps({"run": outcome.run_id, "metrics": outcome.metrics, "gates": judged}))
    else:
        width = max(len(name) for name in outcome.metrics)
        for name, value in sorted(outcome.metrics.items()):
            print(f"{name:<{width}}  {value:<10.6g}  {judged.get(name, '')}".rstrip())
        print(f"recorded as {outcome.run_id}; registry gate check {options.run} --suite ternary-vae-validation")
    return 0 if all(verdict == "pass" for verdict in judged.values()) else 1


def _claim(options: argparse.Namespace) -> int:
    from runners.ternary_vae import coverage

    n_unique = coverage.read_claim(options.coverage)
    if options.draws < 1:
        raise UsageError(f"--draws {options.draws}: no draws, no coverage")
    coverage.check_claim(n_unique, options.draws)
    share = n_unique / coverage.N_OPERATIONS
    bound = coverage.uniform_expectation(options.draws) / coverage.N_OPERATIONS
    print(
        f"coverage@{options.draws} {share:.2%} of at most {bound:.2%} expected: possible, "
        f"efficiency {coverage.efficiency(n_unique, options.draws):.4f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
