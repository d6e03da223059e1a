"""Everything that can go wrong, as one tree. The class carries the exit code of the command contract.

HoldfastError (1)
├── UsageError (2)            the words or the file given are wrong
│   └── MetricError           a metric value that is no number
├── RefusedError (3)          refused for safety
├── NotFoundError (4)         no such run, artifact, remote, registry
├── UnreachableError (5)      a remote or a service did not answer
├── CheckFailedError (1)      a gate, a validation or a verification failed
├── SourceChangedError (1)    a file changed while it was being hashed or copied
└── RegistryUnusableError (1) runs.db is corrupt, locked, read-only, newer, or the disk is full
"""

from typing import Any


class HoldfastError(Exception):
    """One clear line: what, where, what to do.

    `message` says what is wrong and where, `hint` what to type or do next, `reason_code` is the finer number of the
    custody table (10-23) that `--json` carries, `details` further lines (every reason of a refusal).
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        reason_code: int | None = None,
        details: list[str] | None = None,
        payload: Any = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.reason_code = reason_code
        self.details = details or []
        self.payload = payload

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(HoldfastError):
    """The words or the file given are wrong."""

    exit_code = 2


class MetricError(UsageError, TypeError):
    """A metric value that is not a number (a string, None, a tensor with more than one element)."""


class RefusedError(HoldfastError):
    """Refused for safety; `details` lists every reason."""

    exit_code = 3


class NotFoundError(HoldfastError):
    """No such run, artifact, remote or registry."""

    exit_code = 4


class UnreachableError(HoldfastError):
    """A remote or a service did not answer."""

    exit_code = 5


class CheckFailedError(HoldfastError):
    """A gate, a validation or a verification failed."""


class SourceChangedError(HoldfastError):
    """A file changed, or was still being written, while it was being hashed or copied."""


class RegistryUnusableError(HoldfastError):
    """runs.db is corrupt, locked, read-only or newer than this program, or the disk is full."""
