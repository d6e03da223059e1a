"""Requests that wait while the model works go to it together. Nobody waits for a batch to fill."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from runners.serving.endpoint import Call

MAX_WAITING = 1_000


class OverloadedError(Exception):
    """So many requests wait already that this one would wait too long."""


class Batcher:
    """Answers the requests of one call, in batches of at most `call.max_batch`, one batch at a time."""

    def __init__(self, call: Call, executor: ThreadPoolExecutor) -> None:
        self._call = call
        self._executor = executor
        self._waiting: list[tuple[Any, asyncio.Future[Any]]] = []
        self._working: asyncio.Task[None] | None = None

    async def ask(self, request: Any) -> Any:
        """Return the answer to one request. Raises BadRequestError, OverloadedError, or what the model raised."""
        if len(self._waiting) >= MAX_WAITING:
            raise OverloadedError
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._waiting:
            batch = self._waiting[: self._call.max_batch]
            del self._waiting[: len(batch)]
            await self._answer([pair for pair in batch if not pair[1].done()])
        self._working = None

    async def _answer(self, batch: list[tuple[Any, asyncio.Future[Any]]]) -> None:
        """Answer one batch; a model that raises fails its own batch and nothing else."""
        requests = [request for request, _ in batch]
        loop = asyncio.get_running_loop()
        try:
            answers = list(await loop.run_in_executor(self._executor, self._call.answer, requests))
            if len(answers) != len(requests):
                raise RuntimeError(f"{len(answers)} answers to {len(requests)} requests")
        except Exception as error:
            answers = [error] * len(requests)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
