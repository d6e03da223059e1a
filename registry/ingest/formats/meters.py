"""The meters of PyTorch's examples and of those who took them over: torchvision, timm, Swin, DeiT's console, MNIST."""

from registry.ingest.grammar import Grammar, compiled

FORMAT = compiled(
    "meters",
    [
        Grammar(
            hint="Train: ",
            line=r"\bTrain: (?P<epoch>\d{1,18}) \[\s*(?P<step>\d{1,18})/\s*(?P<total>\d{1,18})\s*\(\s*\d+%\)\]",
            rest="pairs",
        ),
        Grammar(
            hint="Train: [",
            line=r"\bTrain: \[(?P<epoch>\d{1,18})/\d+\]\[\s*(?P<step>\d{1,18})/\s*(?P<total>\d{1,18})\]",
            rest="words",
        ),
        Grammar(
            hint="Epoch: [",
            line=r"\bEpoch: \[(?P<epoch>\d{1,18})\]\s*\[\s*(?P<step>\d{1,18})/\s*(?P<total>\d{1,18})\]"
            r"(?=\s+[A-Z]\w* +\d)",
            rest="words",
        ),
        Grammar(
            hint="Test set: ",
            line=r"Test set: Average loss: (?P<test__loss>[\d.]+), Accuracy: \d+/\d+ \((?P<test__accuracy>[\d.]+)%\)",
        ),
        Grammar(
            hint="* Acc@1",
            line=r"\* Acc@1 (?P<val__acc1>[\d.]+)\s+Acc@5 (?P<val__acc5>[\d.]+)(?:\s+loss (?P<val__loss>[\d.]+))?",
        ),
        Grammar(hint="* Prec@1", line=r"\* Prec@1 (?P<val__prec1>[\d.]+)\s+Prec@5 (?P<val__prec5>[\d.]+)"),
    ],
    files="*.log, *.txt",
    example="Epoch: [0][  10/5005]⇥Time 0.474 (5.9)⇥Loss 7.0e+00 (7.0e+00)⇥Acc@1 0.10 (0.12)",
    step="epoch and batch, made to run on",
)
