"""House styles that need one expression each: Marian, ESPnet, Darknet."""

from registry.ingest.grammar import Grammar, compiled

MARIAN = compiled(
    "marian",
    [
        Grammar(
            hint=": Cost ",
            line=r"Ep\. [\d.]+ : Up\. (?P<step>\d{1,18}) : Sen\. [\d,]+ : Cost (?P<Cost>[\d.]+)(?: \* [\d,]+)?"
            r"(?: @ [\d,]+ after [\d,]+)? : Time [\d.]+s : (?P<words_per_s>[\d.]+) words/s"
            r"(?: : gNorm (?P<gNorm>[\d.]+))?(?: : L\.r\. (?P<lr>[\d.eE+-]+))?",
        ),
        Grammar(
            hint="[valid] Ep.",
            line=r"\[valid\] Ep\. [\d.]+ : Up\. (?P<step>\d{1,18}) : (?P<name>[\w-]+) : (?P<value>[\d.]+)",
            prefix="valid/",
        ),
    ],
    files="train.log, valid.log",
    example="[2023-01-01 10:00:00] Ep. 1 : Up. 1000 : Sen. 64,000 : Cost 5.60 : Time 20.3s : 6000.00 words/s",
    step="`Up. n`",
    end="`Training finished`",
)
ESPNET = compiled(
    "espnet",
    [
        Grammar(
            hint="epoch results: [train]",
            line=r"(?P<epoch>\d{1,18})epoch results: \[train\] ",
            rest="pairs",
            prefix="train/",
            axis="epoch",
        ),
        Grammar(
            hint="epoch:train:", line=r"(?P<epoch>\d{1,18})epoch:train:\d+-(?P<step>\d{1,18})batch: ", rest="pairs"
        ),
    ],
    files="train.log",
    example="[host] 2023-01-01 10:00:00 (trainer:737) INFO: 1epoch:train:1-50batch: iter_time=0.1, loss=52.1, acc=0.3",
    step="epoch and batch, made to run on",
)
DARKNET = compiled(
    "darknet",
    [
        Grammar(
            hint=" avg",
            line=r"^\s*(?P<step>\d{1,18}): (?P<loss>[\d.]+|-?nan), (?P<avg_loss>[\d.]+|-?nan) avg(?: loss)?, "
            r"(?P<rate>[\d.]+) rate,",
        )
    ],
    files="*.log",
    example=" 1: 2.345678, 2.345678 avg loss, 0.001000 rate, 3.2 seconds, 64 images",
    step="the number before the colon",
)
