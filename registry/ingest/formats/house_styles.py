"""House styles that need an expression or two each: Marian, ESPnet, Darknet, Caffe, trax and others."""

from registry.ingest.grammar import Grammar, compiled

MARIAN = compiled(
    "marian",
    [
        Grammar(
            hint=": Cost ",
            line=r"Ep\. [\d.]+ : Up\. (?P<step>\d{1,18}) : Sen\. [\d,]+ : Cost (?P<Cost>[\d.]+)(?: \* [\d,]+)?"
            r"(?: @ [\d,]+)?(?: after [\d,]+)? : Time [\d.]+s : (?P<words_per_s>[\d.]+) words/s"
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
            line=r"(?P<epoch>\d{1,18})epoch results: (?=\[train\] )",
            rest="sections",
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
CAFFE = compiled(
    "caffe",
    [
        Grammar(hint=", Testing net", line=r"Iteration (?P<step>\d{1,18}), Testing net"),
        Grammar(
            hint="net output #",
            line=r"(?P<part>Test|Train) net output #\d+: (?P<name>[\w/.-]{1,80}) = (?P<value>\S{1,40})",
        ),
        Grammar(
            hint="Iteration ",
            line=r"Iteration (?P<step>\d{1,18})(?: \([^()]{0,60}\))?, (?P<name>loss|lr) = (?P<value>\S{1,40})",
        ),
    ],
    files="*.log",
    example="I0101 12:00:02.1 1234 solver.cpp:228] Iteration 100 (12.5 iter/s, 8s/100 iters), loss = 0.5",
    step="`Iteration n`; net outputs belong to the iteration before them",
    end="`Optimization Done.`",
)
TENSORFLOW = compiled(
    "tensorflow estimator",
    [
        Grammar(
            hint="Saving dict for global step",
            line=r"Saving dict for global step (?P<step>\d{1,18}): ",
            rest="pairs",
            prefix="eval/",
        ),
        Grammar(hint="global_step/sec", line=r"(?P<name>global_step/sec): (?P<value>\S{1,40})"),
    ],
    files="*.log",
    example="INFO:tensorflow:Saving dict for global step 200: accuracy = 0.91, global_step = 200, loss = 0.21",
    step="`global step n`",
)
TRAX = compiled(
    "trax",
    [
        Grammar(
            hint=" | ",
            line=r"^Step\s+(?P<step>\d{1,18}): (?P<name>(?:train|eval)\s+\w{1,80}) \|\s+(?P<value>\S{1,40})\s*$",
        )
    ],
    files="*.log",
    example="Step    100: train CrossEntropyLoss |  5.51",
    step="`Step n`",
)
TACOTRON = compiled(
    "tacotron",
    [
        Grammar(
            hint="Grad Norm",
            line=r"^Train loss (?P<step>\d{1,18}) (?P<train_loss>\S{1,40}) Grad Norm (?P<grad_norm>\S{1,40}) ",
        ),
        Grammar(
            hint="Validation loss ", line=r"^Validation loss (?P<step>\d{1,18}): +(?P<validation_loss>\S{1,40})\s*$"
        ),
    ],
    files="*.log",
    example="Train loss 12 0.345678 Grad Norm 1.234567 1.50s/it",
    step="the number after `Train loss`",
)
FASTTEXT = compiled(
    "fasttext",
    [Grammar(hint="words/sec/thread", line=r"^Progress:\s+[\d.]{1,8}%\s+(?=words/sec/thread)", rest="pairs")],
    files="*.log",
    example="Progress:  10.0% words/sec/thread:   60010 lr:  0.090000 avg.loss:  9.500000 ETA:   0h 0m 9s",
    step="none: the log names none",
)
KALDI = compiled(
    "kaldi",
    [
        Grammar(
            hint="objective function for '",
            line=r"verage objective function for '(?P<part>[^']{1,80})' for minibatches \d+-(?P<step>\d{1,18}) is "
            r"(?P<objective>\S{1,40}) over",
        ),
        Grammar(
            hint="Overall average objective",
            line=r"Overall average objective function for '(?P<part>[^']{1,80})' is (?P<overall_objective>\S{1,40}) ",
        ),
    ],
    files="train.N.log",
    example="LOG (nnet3-train[5.5]:…) Average objective function for 'output' for minibatches 0-99 is -5.1 over …",
    step="the last minibatch",
)
