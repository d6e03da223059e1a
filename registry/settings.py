"""`registry.toml`, beside runs.db: what a team decides once. Every key is known, typed and has a default."""

import tomllib
from pathlib import Path

import msgspec

from registry.errors import UsageError

SETTINGS_NAME = "registry.toml"


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of registry.toml; a key that it does not know is an error."""


class Policy(Section):
    """[policy]: how many verified copies what matters must have, and where."""

    min_copies: int = 1
    num_copies: int = 2
    require_other_domain: bool = True
    why: str = ""
    roles: tuple[str, ...] = ("best", "last", "checkpoint", "config", "report")

    def __post_init__(self) -> None:
        if self.min_copies < 1:
            raise ValueError("min_copies is at least 1: zero copies would be a licence to lose the model")
        if self.num_copies < self.min_copies:
            raise ValueError("num_copies is at least min_copies")


class Target(Section):
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


class Host(Section):
    """[hosts.NAME]: what a machine costs, and the command that gives it back."""

    cost_per_hour: float | None = None
    release: str | None = None


class Settings(Section):
    """The whole of registry.toml."""

    policy: Policy = Policy()
    targets: dict[str, Target] = {}
    hosts: dict[str, Host] = {}
    keys: dict[str, str] = {}


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
