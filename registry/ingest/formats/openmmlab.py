"""The text logs of mmcv and mmengine (mmdet, mmseg, mmpose, …)."""

from registry.ingest.grammar import Grammar, compiled

FORMAT = compiled(
    "openmmlab",
    [
        Grammar(
            hint="Epoch(val)",
            line=r"Epoch\(val\)\s*\[(?P<epoch>\d{1,18})\]\s*\[\s*\d+(?:/\d+)?\]",
            rest="pairs",
            prefix="val/",
            axis="epoch",
        ),
        Grammar(hint="Iter(val)", line=r"Iter\(val\)\s*\[\s*\d+(?:/\d+)?\]", rest="pairs", prefix="val/"),
        Grammar(
            hint="Epoch",
            line=r"\bEpoch(?:\(train\))?\s*\[(?P<epoch>\d{1,18})\]\s*\[\s*(?P<step>\d{1,18})/(?P<total>\d{1,18})\](?=\s+\S*lr)",
            rest="pairs",
        ),
        Grammar(
            hint="Iter",
            line=r"\bIter(?:\(train\))?\s*\[\s*(?P<step>\d{1,18})/(?P<total>\d{1,18})\](?=\s+\S*lr)",
            rest="pairs",
        ),
    ],
    files="*.log",
    example="2022-01-01 00:00:00,123 - mmdet - INFO - Epoch [1][50/1171]⇥lr: 1.0e-02, eta: 1:00:00, loss: 1.234",
    step="epoch and iteration, made to run on; `Iter [n/N]`",
)
