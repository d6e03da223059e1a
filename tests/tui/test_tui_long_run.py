"""A dashboard that is left open: many updates pile nothing up, and what hangs does not keep it from ending."""

import asyncio
import threading
from pathlib import Path

from conftest import Open, settle, until
from tui_screen_text import screen_text

import registry
from tui.sketch import N_BUCKETS

N_STEPS = 300


async def test_a_hundred_updates_a_second_pile_nothing_up(tmp_path: Path, open_dashboard: Open) -> None:
    run = registry.init("soak", "watched", db=str(tmp_path / "runs.db"), total_steps=N_STEPS)
    run.define_metric("val/loss", goal="min", primary=True)
    run.log({"val/loss": 2.0}, step=0)
    async with open_dashboard(tmp_path, (140, 40)) as (app, pilot):
        asked = 0
        reload = app.screen.reload

        def counted() -> None:
            nonlocal asked
            asked += 1
            reload()

        app.screen.reload = counted
        n_threads = threading.active_count()
        for step in range(1, N_STEPS):
            run.log({"val/loss": 1 / step}, step=step)
            await asyncio.sleep(0.01)
        await until(pilot, lambda: f"@{N_STEPS - 1}" in screen_text(app))
        await settle(app, pilot)
        assert 0 < asked < N_STEPS / 2, "many changes cost one reading"
        assert threading.active_count() <= n_threads + 1
        assert app._message_queue.qsize() + app.screen._message_queue.qsize() == 0
        assert not app.screen._waiting
        kept = [*app.store._sketches._kept.values()]
        assert sum(len(sketch.points) + len(sketch.buckets) for sketch in kept) <= N_BUCKETS * len(kept)
    run.finish()


async def test_a_job_that_hangs_does_not_keep_the_dashboard_from_ending(story: Path, open_dashboard: Open) -> None:
    silence = threading.Event()

    def hang(reporter: object) -> tuple[str, ...]:
        silence.wait()
        return ("it spoke",)

    async with open_dashboard(story) as (app, pilot):
        app.begin_job("look at a silent host", hang)
        await until(pilot, lambda: "look at a silent host" in screen_text(app))
        await pilot.press("ctrl+x")
        await until(pilot, lambda: any("stopping: look" in note.message for note in app._notifications))
        await pilot.press("5")
        await until(pilot, lambda: "vae-k16-s0" in screen_text(app))
        (thread,) = app.jobs._threads.values()
    assert thread.is_alive()
    silence.set()
    thread.join(10)
