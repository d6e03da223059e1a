"""What the machine does while it trains: a thread posts processor, memory and GPU use every few seconds.

It never stops a training: a reading that fails is left out, and a machine without NVIDIA's library has no GPU readings.
"""

import contextlib
import threading
from collections.abc import Callable
from types import TracebackType

import psutil

from registry.run import Run

INTERVAL_S = 10.0
_MIB = 2.0**20


class Telemetry:
    """Posts `system/…` metrics of this process and machine at the step that `position()` names, while inside `with`."""

    def __init__(self, run: Run, position: Callable[[], int], interval_s: float = INTERVAL_S) -> None:
        self._run = run
        self._position = position
        self._interval_s = interval_s
        self._process = psutil.Process()
        self._gpus = _gpu_handles()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="telemetry", daemon=True)

    def __enter__(self) -> "Telemetry":
        self._process.cpu_percent()
        psutil.cpu_percent()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=5.0)
        self._post()

    def _work(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._post()

    def _post(self) -> None:
        if self._run.status == "running":
            self._run.log(self.read(), step=self._position(), basis="sampled")

    def read(self) -> dict[str, float]:
        """Return the readings of now: percent of one core, percent of the machine, MiB, watts."""
        values = {
            "system/process_cpu_percent": self._process.cpu_percent(),
            "system/process_rss_mib": self._process.memory_info().rss / _MIB,
            "system/machine_cpu_percent": psutil.cpu_percent(),
        }
        for number, handle in enumerate(self._gpus):
            values |= _read_gpu(number, handle)
        return values


def _gpu_handles() -> list[object]:
    try:
        import pynvml

        pynvml.nvmlInit()
        return [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # no library, no driver, no permission: then there is nothing to read
        return []


def _read_gpu(number: int, handle: object) -> dict[str, float]:
    import pynvml

    values = {}
    readers = {
        "percent": lambda: float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu),
        "memory_mib": lambda: pynvml.nvmlDeviceGetMemoryInfo(handle).used / _MIB,
        "watts": lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000.0,
    }
    for name, read in readers.items():
        with contextlib.suppress(pynvml.NVMLError):
            values[f"system/gpu{number}_{name}"] = read()
    return values
