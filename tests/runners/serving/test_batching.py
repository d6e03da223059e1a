"""Waiting requests share a batch; an error reaches its own asker; a full queue says so at once."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import BaseModel

from runners.serving import batching
from runners.serving.batching import Batcher, OverloadedError
from runners.serving.endpoint import BadRequestError, Call


class Number(BaseModel):
    n: int


def doubled(requests):
    return [BadRequestError("odd") if request.n % 2 else Number(n=2 * request.n) for request in requests]


def test_requests_that_wait_are_answered_together_and_in_order():
    sizes, first_works, go_on = [], threading.Event(), threading.Event()

    def answer(requests):
        sizes.append(len(requests))
        first_works.set()
        go_on.wait(30)
        return doubled(requests)

    async def ask_many():
        batcher = Batcher(Call(Number, Number, answer, max_batch=8), executor)
        first = asyncio.create_task(batcher.ask(Number(n=0)))
        while not first_works.is_set():
            await asyncio.sleep(0)
        others = [asyncio.create_task(batcher.ask(Number(n=2 * i))) for i in range(1, 11)]
        await asyncio.sleep(0)
        go_on.set()
        return [answer.n for answer in await asyncio.gather(first, *others)]

    with ThreadPoolExecutor(1) as executor:
        assert asyncio.run(ask_many()) == [4 * i for i in range(11)]
    assert sizes == [1, 8, 2]


def test_a_bad_request_and_a_broken_model_fail_only_their_own_askers():
    async def ask():
        batcher = Batcher(Call(Number, Number, doubled), executor)
        said = await asyncio.gather(*(batcher.ask(Number(n=n)) for n in (1, 2)), return_exceptions=True)
        broken = Batcher(Call(Number, Number, lambda requests: []), executor)
        return (
            said,
            await asyncio.gather(broken.ask(Number(n=2)), return_exceptions=True),
            await batcher.ask(Number(n=4)),
        )

    with ThreadPoolExecutor(1) as executor:
        (odd, even), (wrong,), after = asyncio.run(ask())
    assert isinstance(odd, BadRequestError) and even.n == 4 and isinstance(wrong, RuntimeError) and after.n == 8


def test_more_than_can_wait_is_refused(monkeypatch):
    monkeypatch.setattr(batching, "MAX_WAITING", 2)

    async def ask():
        batcher = Batcher(Call(Number, Number, doubled), executor)
        return await asyncio.gather(*(batcher.ask(Number(n=2)) for _ in range(3)), return_exceptions=True)

    with ThreadPoolExecutor(1) as executor:
        said = asyncio.run(ask())
    assert [type(answer) for answer in said] == [Number, Number, OverloadedError]


def test_an_asker_that_went_away_does_not_disturb_the_others():
    async def ask():
        batcher = Batcher(Call(Number, Number, doubled), executor)
        gone, stays = (asyncio.create_task(batcher.ask(Number(n=2))) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        return await stays

    with ThreadPoolExecutor(1) as executor:
        assert asyncio.run(ask()).n == 4
