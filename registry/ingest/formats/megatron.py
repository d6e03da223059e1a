"""Megatron-LM's and GPT-NeoX's iteration lines, whose parts are divided by `|`."""

from registry.ingest.grammar import Grammar, compiled

FORMAT = compiled(
    "megatron",
    [
        Grammar(
            hint="validation loss at",
            line=r"validation loss at iteration (?P<step>\d{1,18})[^|]{0,80}\|",
            rest="pairs",
            prefix="val/",
        ),
        Grammar(
            hint="validation results at",
            line=r"validation results at iteration (?P<step>\d{1,18})[^|]{0,80}\|",
            rest="pairs",
            prefix="val/",
        ),
        Grammar(
            hint="iteration ",
            line=r"(?:^|[|\]\s])iteration\s+(?P<step>\d{1,18})/\s*(?P<total>\d{1,18})\s*\|",
            rest="around",
        ),
    ],
    files="*.log",
    example=" iteration      100/  500000 | consumed samples:  25600 | learning rate: 1.5E-04 | lm loss: 7.12E+00 |",
    step="`iteration n/N`",
    end="n = N",
)
