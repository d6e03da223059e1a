"""PaddleSeg's `[TRAIN]` and `[EVAL]` lines; an evaluation belongs to the iteration before it."""

from registry.ingest.grammar import Grammar, compiled

FORMAT = compiled(
    "paddleseg",
    [
        Grammar(
            hint="[TRAIN]",
            line=r"\[TRAIN\] epoch[:=] ?\d+, iter[:=] ?(?P<step>\d{1,18})/(?P<total>\d{1,18})",
            rest="pairs",
        ),
        Grammar(hint="[EVAL]", line=r"\[EVAL\] #Images[:=] ?\d+,?", rest="pairs", prefix="val/"),
    ],
    files="workerlog.N, trainer-N.log",
    example="2021-12-06 01:52:16 [INFO] [TRAIN] epoch: 1, iter: 50/120000, loss: 2.6943, lr: 0.001000, ips: 9.9",
    step="`iter: n/N`",
    end="`train job success!`, n = N",
)
