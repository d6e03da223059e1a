"""`registry.toml`, beside runs.db: what a team decides once. Every key is known, typed and has a default."""

import fnmatch
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from registry.clock import parse_duration
from registry.errors import UsageError

SETTINGS_NAME = "registry.toml"


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of registry.toml; a key that it does not know is an error."""


class Freshness(Section, frozen=True, kw_only=True):
    """[policy.freshness]: for how long a verification holds, by the class of the remote; `90s`, `15m`, `6h`, `30d`."""

    ephemeral: str = "24h"
    durable: str = "30d"
    offline: str = "180d"
    release: str = "15m"
    backup: str = "7d"

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            parse_duration(getattr(self, name))

    def ttl_s(self, klass: str) -> float:
        """Return the seconds for a class of remotes, for a release, or for a backup of the registry."""
        return parse_duration(getattr(self, klass))


class PolicyRule(Section, frozen=True, kw_only=True):
    """[[policy.rules]]: another number of copies for some artifacts; patterns are shell globs, the first rule wins."""

    experiment: str = "*"
    role: str = "*"
    deployed: bool | None = None
    min_copies: int
    num_copies: int | None = None
    require_other_domain: bool | None = None

    def __post_init__(self) -> None:
        _check_numbers(self.min_copies, self.num_copies)


class Policy(Section, frozen=True, kw_only=True):
    """[policy]: how many verified copies what matters must have, and where."""

    min_copies: int = 1
    num_copies: int = 2
    require_other_domain: bool = True
    why: str = ""
    roles: tuple[str, ...] = ("best", "last", "checkpoint", "config", "report")
    freshness: Freshness = Freshness()
    rules: tuple[PolicyRule, ...] = ()

    def __post_init__(self) -> None:
        _check_numbers(self.min_copies, self.num_copies)

    @property
    def default(self) -> PolicyRule:
        """What holds where no rule speaks."""
        return self._filled(PolicyRule(min_copies=self.min_copies))

    def rule_for(self, experiment: str, role: str, *, deployed: bool) -> PolicyRule:
        """Return what holds for an artifact: the first rule that speaks of it, filled up from [policy]."""
        for rule in self.rules:
            if (
                fnmatch.fnmatchcase(experiment, rule.experiment)
                and fnmatch.fnmatchcase(role, rule.role)
                and rule.deployed in (None, deployed)
            ):
                return self._filled(rule)
        return self.default

    def filled_rules(self) -> list[PolicyRule]:
        """Return every rule that may hold for something, filled up from [policy]."""
        return [*map(self._filled, self.rules), self.default]

    def _filled(self, rule: PolicyRule) -> PolicyRule:
        other_domain = rule.require_other_domain
        return PolicyRule(
            min_copies=rule.min_copies,
            num_copies=max(rule.min_copies, self.num_copies) if rule.num_copies is None else rule.num_copies,
            require_other_domain=self.require_other_domain if other_domain is None else other_domain,
        )


def _check_numbers(min_copies: int, num_copies: int | None) -> None:
    if min_copies < 1:
        raise ValueError("min_copies is at least 1: zero copies would be a licence to lose the model")
    if num_copies is not None and num_copies < min_copies:
        raise ValueError("num_copies is at least min_copies")


class Ignore(Section, frozen=True, kw_only=True):
    """[[guard.ignore]]: files that need no copy when a machine goes, and why."""

    pattern: str
    reason: str


class Guard(Section, frozen=True, kw_only=True):
    """[guard]: what the release of a machine looks at."""

    ignore: tuple[Ignore, ...] = ()
    permit: str = "10m"

    def __post_init__(self) -> None:
        parse_duration(self.permit)


class BackupPolicy(Section, frozen=True, kw_only=True):
    """[backup]: which backups of the registry `registry backup --prune` leaves on a remote: the newest `keep_last`, all
    that are younger than `keep_for`, and always the one that was just read back."""

    keep_last: Annotated[int, msgspec.Meta(ge=1)] = 14
    keep_for: str = "90d"

    def __post_init__(self) -> None:
        parse_duration(self.keep_for)

    @property
    def keep_for_s(self) -> float:
        """The seconds of `keep_for`."""
        return parse_duration(self.keep_for)


class Target(Section, frozen=True, kw_only=True):
    """[targets.NAME]: what serves there, what it must satisfy, and how the change is made."""

    artifact: str = "best"
    suite: str | None = None
    primary_metric: str | None = None
    goal: str | None = None
    min_copies: int | None = None
    on_promote: str | None = None
    on_rollback: str | None = None
    command_timeout_s: float = 600.0
    health_url: str | None = None
    health_timeout_s: float = 60.0


class Host(Section, frozen=True, kw_only=True):
    """[hosts.NAME]: a machine: its price, its failure domain, how SSH reaches it, where the registry's folder is on it,
    and the command that gives it back."""

    cost_per_hour: float | None = None
    domain: str | None = None
    ssh: str | None = None
    root: str | None = None
    release: str | None = None


class DataPolicy(Section, frozen=True, kw_only=True):
    """[data]: what happens when a run is about to use a registered data set that is not valid."""

    unchecked: Literal["refuse", "allow"] = "refuse"
    invalid: Literal["refuse", "allow"] = "refuse"
    deprecated: Literal["refuse", "allow"] = "refuse"
    changed: Literal["refuse", "allow"] = "refuse"


class Honesty(Section, frozen=True, kw_only=True):
    """[metrics]: when a metric's story is told as a warning; all are shares between 0 and 1.

    `basis_tolerance`: two bases of one metric differ by more than this share of the larger. `wasted_share`: so much of
    the run came after its best. `collapse_share`: a held-out metric lost so much of its best.
    """

    basis_tolerance: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.05
    wasted_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    collapse_share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.3


class Experiment(Section, frozen=True, kw_only=True):
    """[experiments.NAME]: what holds for one experiment instead."""

    data: DataPolicy | None = None


class LogGrammar(Section, frozen=True, kw_only=True):
    """[[ingest.grammars]]: a line of a log of one's own.

    `line` is a regular expression whose named groups are metrics (`step`, `epoch`, `total` count; `name` and `value`
    make a pair; `__` stands for `/`). `files` is a glob on file names, `hint` a text that such a line always holds,
    `rest` what follows the match (`pairs`: `loss: 0.5, lr=1e-3`; `words`: `loss 0.5, lr 1e-3`; `sections`:
    `[train] loss=0.5, [valid] loss=0.6`; `around`: pairs before the match too), `prefix` goes before the names, `axis`
    is what the step counts.
    """

    name: str
    line: str
    files: str = "*"
    hint: str = ""
    rest: Literal["", "pairs", "words", "sections", "around"] = ""
    prefix: str = ""
    axis: str = "step"


class Ingest(Section, frozen=True, kw_only=True):
    """[ingest]: how logs of other programs are read."""

    grammars: list[LogGrammar] = []
    ignore: list[str] = []
    rescan_interval_s: float = 5.0


class Settings(Section, frozen=True, kw_only=True):
    """The whole of registry.toml."""

    policy: Policy = Policy()
    guard: Guard = Guard()
    backup: BackupPolicy = BackupPolicy()
    targets: dict[str, Target] = {}
    hosts: dict[str, Host] = {}
    data: DataPolicy = DataPolicy()
    metrics: Honesty = Honesty()
    experiments: dict[str, Experiment] = {}
    keys: dict[str, str] = {}
    ingest: Ingest = Ingest()

    def data_policy(self, experiment: str) -> DataPolicy:
        """Return the data policy of an experiment."""
        return self.experiments.get(experiment, Experiment()).data or self.data


def load_settings(root: Path) -> Settings:
    """Return the settings beside the registry, defaults where there is no file.

    Raises UsageError that names the file, the key and what was expected.
    """
    path = root / SETTINGS_NAME
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    try:
        return msgspec.convert(tomllib.loads(text.decode()), Settings)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {error}", hint="docs/settings.md lists every key") from None
