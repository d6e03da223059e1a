# ruff: noqa: E501 (log lines are as long as the programs write them)
"""Each training program's way of writing, in a few lines of its grammar: what must come out of it, and how it stands.

A case names a file, its text, the series that must be there as `name: (count, first, last)` with points `(step,
value)`, and the status. Series that are not named may come out too, unless the case says `only`.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.registry.ingest.conftest import Registry

Point = tuple[int | None, float]
Expected = dict[str, tuple[int, Point, Point]]


@dataclass(frozen=True)
class Style:
    """A file in one program's style and what it holds."""

    name: str
    file: str
    text: str
    series: Expected
    status: str = "unknown"
    params: dict[str, object] = field(default_factory=dict)
    only: bool = False


def lines(template: str, *rows: tuple[object, ...]) -> str:
    return "".join(template.format(*row) + "\n" for row in rows)


STYLES = [
    Style(
        "modded-nanogpt",
        "5d1a0fe4-1111-4222-8333-444455556666.txt",
        "import torch\nclass Muon:\n    def __init__(self, lr=0.02, momentum=0.95, steps=5):\n        loss = 0.0\n"
        + "=" * 60
        + "\n| N/A   28C    P0            116W /  700W |    4992MiB /  81559MiB |\n"
        + "step:0/3 val_loss:10.8258 train_time:0ms step_avg:nanms\n"
        + lines(
            "step:{}/3 train_loss:{} train_time:{}ms step_avg:{}ms",
            (1, 9.5, 100, "nan"),
            (2, 8.5, 200, "100.00"),
            (3, "7.2500", 300, "100.00"),
        )
        + "step:3/3 val_loss:7.1 train_time:310ms step_avg:103.33ms\n",
        {
            "train_loss": (3, (1, 9.5), (3, 7.25)),
            "val_loss": (2, (0, 10.8258), (3, 7.1)),
            "step_avg": (5, (0, math.nan), (3, 103.33)),
        },
        "finished",
    ),
    Style(
        "hugging face dicts between bars",
        "output.log",
        "  0%|          | 0/60 [00:00<?, ?it/s]\n"
        "{'loss': 2.31, 'grad_norm': 1.5, 'learning_rate': 5e-05, 'epoch': 0.1}\n"
        " 33%|███▎      | 20/60 [00:05<00:10, 3.87it/s]{'loss': nan, 'grad_norm': 1.4, 'learning_rate': 4e-05, 'epoch': 0.2}\n"
        "{'eval_loss': 2.0, 'eval_runtime': 1.5, 'eval_samples_per_second': 10.0, 'epoch': 0.2}\n"
        "{'loss': '1.9', 'grad_norm': '1.2', 'learning_rate': '3e-05', 'epoch': '0.3'}\n"
        "{'train_runtime': 20.5, 'train_samples_per_second': 3.0, 'train_loss': 2.1, 'epoch': 0.3}\n",
        {
            "loss": (3, (None, 2.31), (None, 1.9)),
            "learning_rate": (3, (None, 5e-5), (None, 3e-5)),
            "eval_loss": (1, (None, 2.0), (None, 2.0)),
            "epoch": (3, (None, 0.1), (None, 0.3)),
            "train_loss": (1, (None, 2.1), (None, 2.1)),
        },
        "finished",
    ),
    Style(
        "mmcv json log",
        "20220101_000000.log.json",
        '{"env_info": "sys.platform: linux\\nloss: 3.0", "config": "lr = 0.1"}\n'
        '{"mode": "train", "epoch": 1, "iter": 50, "lr": 0.01, "memory": 5000, "loss_cls": 0.9, "loss": 1.5}\n'
        '{"mode": "train", "epoch": 1, "iter": 100, "lr": 0.01, "memory": 5000, "loss_cls": 0.8, "loss": 1.4}\n'
        '{"mode": "val", "epoch": 1, "iter": 625, "lr": 0.01, "bbox_mAP": 0.211, "bbox_mAP_copypaste": "0.211 0.3 0.2"}\n'
        '{"mode": "train", "epoch": 2, "iter": 50, "lr": 0.01, "memory": 5000, "loss_cls": 0.7, "loss": 1.3}\n'
        '{"mode": "val", "epoch": 2, "iter": 625, "lr": 0.001, "bbox_mAP": 0.25, "bbox_mAP_copypaste": "0.25 0.3 0.2"}\n',
        {
            "loss": (3, (50, 1.5), (150, 1.3)),
            "lr": (3, (50, 0.01), (150, 0.01)),
            "val/bbox_mAP": (2, (1, 0.211), (2, 0.25)),
        },
    ),
    Style(
        "mmdet text log",
        "20220101_000000.log",
        lines(
            "2022-01-01 00:0{}:00,123 - mmdet - INFO - Epoch [{}][{}/100]\tlr: 1.000e-02, eta: 1:00:00, time: 0.5, "
            "data_time: 0.01, memory: 5000, loss_cls: 0.5, acc: 93.5, loss: {}",
            (1, 1, 50, 1.5),
            (2, 1, 100, 1.25),
            (3, 2, 50, 1.0),
        )
        + "2022-01-01 00:05:00,123 - mmdet - INFO - Epoch(val) [2][625]\tbbox_mAP: 0.3330, bbox_mAP_50: 0.5\n",
        {
            "loss": (3, (50, 1.5), (150, 1.0)),
            "lr": (3, (50, 0.01), (150, 0.01)),
            "val/bbox_mAP": (1, (2, 0.333), (2, 0.333)),
        },
    ),
    Style(
        "mmengine text log",
        "run_a.log",
        "2023/02/03 10:10:10 - mmengine - INFO - Epoch(train)  [1][ 50/117]  lr: 1.0e-03  eta: 0:10:00  time: 0.5  loss: 2.5\n"
        "2023/02/03 10:11:10 - mmengine - INFO - Epoch(train)  [1][100/117]  lr: 1.0e-03  eta: 0:09:00  time: 0.5  loss: 2.0\n"
        "2023/02/03 10:12:10 - mmengine - INFO - Epoch(val) [1][5/5]    coco/bbox_mAP: 0.3010  data_time: 0.1  time: 0.2\n"
        "2023/02/03 10:13:10 - mmengine - INFO - Epoch(train)  [2][ 50/117]  lr: 1.0e-03  eta: 0:08:00  time: 0.5  loss: 1.5\n",
        {"loss": (3, (50, 2.5), (167, 1.5)), "val/coco/bbox_mAP": (1, (1, 0.301), (1, 0.301))},
    ),
    Style(
        "detectron2 text",
        "log.txt",
        "[01/05 18:00:00 detectron2]: Full config:\nSOLVER:\n  BASE_LR: 0.00025\n  MAX_ITER: 60\n  STEPS: [30]\nloss_weight: 1.0\n"
        + lines(
            "[01/05 18:0{}:00 d2.utils.events]:  eta: 0:04:0{}  iter: {}  total_loss: {}  loss_cls: 0.5  time: 0.30  "
            "data_time: 0.01  lr: 0.0002  max_mem: 2500M",
            (1, 1, 19, 2.5),
            (2, 2, 39, 2.25),
            (3, 3, 59, 2.0),
        )
        + "[01/05 18:04:00 d2.engine.hooks]: Total training time: 0:00:20 (0:00:01 on hooks)\n",
        {"total_loss": (3, (19, 2.5), (59, 2.0)), "lr": (3, (19, 0.0002), (59, 0.0002))},
        "finished",
    ),
    Style(
        "detectron2 metrics.json with NaN",
        "metrics.json",
        '{"bbox/AP": NaN, "data_time": 0.1, "iteration": 19, "total_loss": 2.5, "lr": 0.0002}\n'
        '{"bbox/AP": NaN, "data_time": 0.1, "iteration": 39, "total_loss": 2.2, "lr": 0.0002}\n'
        '{"bbox/AP": NaN, "data_time": 0.1, "iteration": 59, "total_loss": 2.0, "lr": 0.0002}\n',
        {"bbox/AP": (3, (19, math.nan), (59, math.nan)), "total_loss": (3, (19, 2.5), (59, 2.0))},
    ),
    Style(
        "nanoGPT",
        "train.log",
        "tokens per iteration will be: 16,384\nnumber of parameters: 10.65M\n"
        "step 0: train loss 4.2874, val loss 4.2823\niter 0: loss 4.2649, time 27468.28ms, mfu -100.00%\n"
        "iter 10: loss 3.2438, time 143.22ms, mfu 12.10%\nstep 250: train loss 2.0, val loss 2.1\n"
        "saving checkpoint to out\niter 250: loss 2.05, time 143.22ms, mfu 12.10%\n",
        {
            "train loss": (2, (0, 4.2874), (250, 2.0)),
            "val loss": (2, (0, 4.2823), (250, 2.1)),
            "loss": (3, (0, 4.2649), (250, 2.05)),
            "mfu": (3, (0, -100.0), (250, 12.1)),
        },
    ),
    Style(
        "llm.c console",
        "gpt2.log",
        "val loss 11.009\n"
        + lines(
            "step    {}/3 | loss {} (+nanz)| norm 15.35 (+nanz)| lr 1.43e-07 | 3366.23 ms | 31.2% bf16 MFU | 155756 tok/s",
            (1, 11.0),
            (2, 10.5),
            (3, 10.0),
        )
        + "val loss 9.875\n",
        {
            "loss": (3, (1, 11.0), (3, 10.0)),
            "val loss": (1, (3, 9.875), (3, 9.875)),
            "lr": (3, (1, 1.43e-7), (3, 1.43e-7)),
        },
        "finished",
    ),
    Style(
        "llm.c main.log",
        "main.log",
        "s:0 tel:11.0102\ns:1 trl:10.98 lr:7e-06 norm:5.2\ns:2 trl:10.5 lr:1e-05 norm:5.0\ns:250 tel:6.5\n",
        {"train_loss": (2, (1, 10.98), (2, 10.5)), "val_loss": (2, (0, 11.0102), (250, 6.5))},
    ),
    Style(
        "olmo",
        "train.log",
        "".join(
            f"2025-12-12 12:20:1{n}.218\thost-a:0\tolmo.train:979\tINFO\t[step={n}/20,epoch=0]\n"
            f"    train/CrossEntropyLoss={11 - n}.24\n    throughput/total_tokens={n},097,152\n    System/Peak GPU Memory (MB)=101,234\n"
            for n in (1, 2, 3)
        ),
        {
            "train/CrossEntropyLoss": (3, (1, 10.24), (3, 8.24)),
            "throughput/total_tokens": (3, (1, 1097152.0), (3, 3097152.0)),
            "System/Peak GPU Memory (MB)": (3, (1, 101234.0), (3, 101234.0)),
        },
    ),
    Style(
        "megatron",
        "megatron.log",
        lines(
            " [2024-06-01 10:00:0{}] iteration      {}/  500000 | consumed samples:        25600 | elapsed time per iteration "
            "(ms): 1234.5 | learning rate: 1.500E-04 | global batch size:   256 | lm loss: {}E+00 | loss scale: 1.0 | grad norm: "
            "1.2 | number of skipped iterations:   0 | number of nan iterations:   0 |",
            (1, 100, 7.5),
            (2, 200, 7.25),
            (3, 300, 7.0),
        )
        + "-" * 60
        + "\n validation loss at iteration 300 | lm loss value: 6.5E+00 | lm loss PPL: 6.6E+02 | \n",
        {
            "lm loss": (3, (100, 7.5), (300, 7.0)),
            "learning rate": (3, (100, 1.5e-4), (300, 1.5e-4)),
            "number of skipped iterations": (3, (100, 0.0), (300, 0.0)),
            "val/lm loss value": (1, (300, 6.5), (300, 6.5)),
        },
    ),
    Style(
        "fairseq text",
        "train.log",
        "2021-01-01 00:00:00 | INFO | train_inner | epoch 001:    100 / 1234 loss=5.6, nll_loss=4.5, ppl=22.6, wps=1000, ups=2, "
        "num_updates=100, lr=1e-05, gnorm=1.2\n"
        "2021-01-01 00:01:00 | INFO | train_inner | epoch 001:    200 / 1234 loss=5.1, nll_loss=4.1, ppl=17.1, wps=1000, ups=2, "
        "num_updates=200, lr=2e-05, gnorm=1.1\n"
        "2021-01-01 00:02:00 | INFO | valid | epoch 001 | valid on 'valid' subset | loss 5.0 | nll_loss 4.2 | ppl 18 | num_updates 200\n"
        "2021-01-01 00:02:00 | INFO | train | epoch 001 | loss 5.35 | nll_loss 4.3 | ppl 20 | num_updates 200 | lr 2e-05\n"
        "2021-01-01 00:03:00 | INFO | fairseq_cli.train | done training in 1234.5 seconds\n",
        {
            "loss": (2, (100, 5.6), (200, 5.1)),
            "valid/loss": (1, (200, 5.0), (200, 5.0)),
            "train/loss": (1, (200, 5.35), (200, 5.35)),
        },
        "finished",
    ),
    Style(
        "fairseq json: numbers as strings",
        "fairseq.log",
        lines(
            '2021-01-01 00:00:0{} | INFO | train_inner | {{"epoch": 1, "update": 0.0{}, "loss": "{}", "ppl": "48.5", '
            '"num_updates": "{}00", "lr": "1e-05"}}',
            (1, 1, 5.6, 1),
            (2, 2, 5.4, 2),
            (3, 3, 5.2, 3),
        ),
        {"loss": (3, (100, 5.6), (300, 5.2)), "lr": (3, (100, 1e-5), (300, 1e-5))},
    ),
    Style(
        "llama-factory trainer_log.jsonl",
        "trainer_log.jsonl",
        lines(
            '{{"current_steps": {}, "total_steps": 30, "loss": {}, "lr": 5e-05, "epoch": 0.{}, "percentage": 3.3, '
            '"elapsed_time": "0:00:1{}", "remaining_time": "0:04:50", "throughput": 1234.5}}',
            (10, 1.5, 1, 1),
            (20, 1.25, 2, 2),
            (30, 1.0, 3, 3),
        ),
        {"loss": (3, (10, 1.5), (30, 1.0)), "throughput": (3, (10, 1234.5), (30, 1234.5))},
        "finished",
    ),
    Style(
        "keras with backspaces and carriage returns",
        "keras.log",
        "".join(
            f"Epoch {epoch}/2\n"
            + "\r".join(
                f"{n}/3 [====>....] - ETA: 1s - loss: {5 - n}.5 - accuracy: 0.{n}" + "\x08" * 30 for n in (1, 2)
            )
            + f"\r3/3 [==============================] - 2s 4ms/step - loss: {3 - epoch}.25 - accuracy: 0.{8 + epoch - 1} - "
            + f"val_loss: 0.{epoch} - val_accuracy: 0.75\n"
            for epoch in (1, 2)
        ),
        {"loss": (2, (1, 2.25), (2, 1.25)), "val_loss": (2, (1, 0.1), (2, 0.2)), "accuracy": (2, (1, 0.8), (2, 0.9))},
        "finished",
    ),
    Style(
        "keras 3",
        "fit.log",
        "Epoch 1/10\n\x1b[1m469/469\x1b[0m \x1b[32m━━━━━━━━━━━━━━━━━━━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m2s\x1b[0m 4ms/step - accuracy: "
        "0.8550 - loss: 0.5000 - val_accuracy: 0.9500 - val_loss: 0.1700\n"
        "Epoch 2/10\n\x1b[1m469/469\x1b[0m \x1b[32m━━━━━━━━━━━━━━━━━━━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m2s\x1b[0m 4ms/step - accuracy: "
        "0.9550 - loss: 0.2500 - val_accuracy: 0.9600 - val_loss: 0.1200\n",
        {"loss": (2, (1, 0.5), (2, 0.25)), "val_accuracy": (2, (1, 0.95), (2, 0.96))},
    ),
    Style(
        "pytorch imagenet",
        "imagenet.log",
        lines(
            "Epoch: [{}][ {}/100]\tTime  0.474 (  5.912)\tData  0.010 (  3.600)\tLoss {}e+00 (7.0e+00)\tAcc@1   0.10 (  0.12)\t"
            "Acc@5   0.50 (  0.60)",
            (0, 10, 7.0),
            (0, 20, 6.5),
            (1, 10, 6.0),
        )
        + " * Acc@1 12.500 Acc@5 30.250\n",
        {
            "Loss": (3, (10, 7.0), (110, 6.0)),
            "Acc@1": (3, (10, 0.1), (110, 0.1)),
            "val/acc1": (1, (110, 12.5), (110, 12.5)),
        },
    ),
    Style(
        "deit console",
        "deit.out",
        lines(
            "Epoch: [{}]  [ {}/1251]  eta: 0:10:00  lr: 0.000001  loss: {} (6.9088)  time: 0.5123  data: 0.1  max mem: 12345",
            (0, 10, 6.9),
            (0, 20, 6.5),
            (1, 10, 6.0),
        ),
        {"loss": (3, (10, 6.9), (1261, 6.0)), "lr": (3, (10, 1e-6), (1261, 1e-6))},
    ),
    Style(
        "timm",
        "timm.log",
        lines(
            "Train: {} [ {}/1251 (  0%)]  Loss: {} (6.95)  Time: 3.220s,  312.30/s  (3.220s,  312.30/s)  LR: 1.000e-06  Data: 1.100 (1.100)",
            (0, 0, 6.95),
            (0, 50, 6.5),
            (1, 50, 6.0),
        ),
        {"Loss": (3, (0, 6.95), (1301, 6.0)), "LR": (3, (0, 1e-6), (1301, 1e-6))},
    ),
    Style(
        "swin",
        "log_rank0.txt",
        lines(
            "[2021-04-01 10:00:0{} swin_tiny](main.py 222): INFO Train: [{}/300][{}/1251]\teta 0:10:00 lr 0.000001\t time 0.5000 "
            "(0.6000)\tloss {} (6.9500)\tgrad_norm 1.2000 (1.3000)\tmem 1234MB",
            (1, 0, 10, 6.9),
            (2, 0, 20, 6.8),
            (3, 1, 10, 6.7),
        ),
        {"loss": (3, (10, 6.9), (1261, 6.7)), "grad_norm": (3, (10, 1.2), (1261, 1.2))},
    ),
    Style(
        "mnist example",
        "mnist.txt",
        lines("Train Epoch: {} [{}/60000 ({}%)]\tLoss: {}", (1, 0, 0, 2.3), (1, 640, 1, 1.5), (2, 640, 1, 0.5))
        + "\nTest set: Average loss: 0.0493, Accuracy: 9837/10000 (98%)\n",
        {
            "Loss": (3, (0, 2.3), (60640, 0.5)),
            "test/accuracy": (1, (60640, 98.0), (60640, 98.0)),
            "test/loss": (1, (60640, 0.0493), (60640, 0.0493)),
        },
    ),
    Style(
        "xgboost",
        "xgb.log",
        lines("[{}]\ttrain-rmse:{}\teval-rmse:0.6", (0, 0.5), (1, 0.4), (2, 0.3)),
        {"train-rmse": (3, (0, 0.5), (2, 0.3)), "eval-rmse": (3, (0, 0.6), (2, 0.6))},
    ),
    Style(
        "lightgbm",
        "lgb.log",
        "[LightGBM] [Info] Total Bins 4800\n"
        + lines("[{}]\tvalid_0's l2: {}\tvalid_0's auc: 0.75", (10, 0.24), (20, 0.23), (30, 0.22)),
        {"valid_0's l2": (3, (10, 0.24), (30, 0.22)), "valid_0's auc": (3, (10, 0.75), (30, 0.75))},
    ),
    Style(
        "catboost",
        "cat.log",
        lines("{}:\tlearn: {}\ttest: 0.51\tbest: 0.51 (0)\ttotal: 50ms\tremaining: 5s", (0, 0.69), (1, 0.5), (2, 0.4)),
        {"learn": (3, (0, 0.69), (2, 0.4)), "test": (3, (0, 0.51), (2, 0.51))},
    ),
    Style(
        "stable-baselines3 boxes",
        "sb3.log",
        "".join(
            "-"
            * 35
            + f"\n| rollout/           |            |\n|    ep_rew_mean     | {n}.5       |\n| time/              |            |\n"
            f"|    fps             | 6,733      |\n|    total_timesteps | {2048 * n}      |\n| train/             |            |\n"
            f"|    loss            | 0.{n}        |\n" + "-" * 35 + "\n"
            for n in (1, 2, 3)
        ),
        {"rollout/ep_rew_mean": (3, (2048, 1.5), (6144, 3.5)), "train/loss": (3, (2048, 0.1), (6144, 0.3))},
    ),
    Style(
        "spinning up boxes",
        "ppo.txt",
        "".join(
            "-" * 39 + f"\n|             Epoch |               {n} |\n|      AverageEpRet |            2{n}.5 |\n"
            f"|            LossPi |          -0.0{n} |\n" + "-" * 39 + "\n"
            for n in (0, 1, 2)
        ),
        {"AverageEpRet": (3, (0, 20.5), (2, 22.5)), "LossPi": (3, (0, 0.0), (2, -0.02))},
    ),
    Style(
        "fastai",
        "fastai.log",
        "epoch     train_loss  valid_loss  accuracy  time    \n"
        + lines("{}         {}    0.020000    0.993000  00:12     ", (0, "0.170000"), (1, "0.120000"), (2, "0.100000")),
        {"train_loss": (3, (0, 0.17), (2, 0.1)), "accuracy": (3, (0, 0.993), (2, 0.993))},
    ),
    Style(
        "skorch",
        "skorch.log",
        "  epoch    train_loss    valid_acc    valid_loss     dur\n-------  ------------  -----------  ------------  ------\n"
        + lines("      {}        {}       0.5500        0.6821  0.0338", (1, 0.6868), (2, 0.65), (3, 0.6)),
        {"train_loss": (3, (1, 0.6868), (3, 0.6)), "valid_acc": (3, (1, 0.55), (3, 0.55))},
    ),
    Style(
        "spacy",
        "spacy.log",
        "E    #       LOSS TOK2VEC  LOSS NER  ENTS_F  SCORE \n---  ------  ------------  --------  ------  ------\n"
        + lines("  0     {}          0.00     {}    0.00    0.00", (0, 45.33), (200, 40.0), (400, 30.5)),
        {"LOSS NER": (3, (0, 45.33), (400, 30.5))},
    ),
    Style(
        "torchtune",
        "log_1718000000.txt",
        lines(
            "Step {} | loss:{} lr:2e-05 tokens_per_second_per_gpu:123.4 peak_memory_active:20.5",
            (1, 1.6),
            (2, 1.5),
            (3, 1.4),
        ),
        {"loss": (3, (1, 1.6), (3, 1.4)), "lr": (3, (1, 2e-5), (3, 2e-5))},
    ),
    Style(
        "torchtitan",
        "titan.log",
        lines(
            "[titan] 2024-10-10 10:00:0{} - root - INFO - \x1b[31mstep:  {}  \x1b[32mloss: {}  \x1b[33mmemory:  3.00GiB(3.17%)  "
            "\x1b[34mtps: 7,100  \x1b[36mtflops: 3.31  \x1b[35mmfu: 1.05%\x1b[39m",
            (1, 1, 12.2),
            (2, 10, 10.5),
            (3, 20, 8.1),
        ),
        {"loss": (3, (1, 12.2), (20, 8.1)), "tps": (3, (1, 7100.0), (20, 7100.0)), "mfu": (3, (1, 1.05), (20, 1.05))},
    ),
    Style(
        "nanochat",
        "base_train.log",
        lines(
            "step 0000{}/21400 (0.00%) | loss: {} | grad norm: 0.5 | lrm: 1.00 | dt: 5623.23ms | tok/sec: 93,248 | mfu: 3.89 | total time: 0.00m",
            (0, 11.09),
            (1, 10.5),
            (2, 9.75),
        ),
        {"loss": (3, (0, 11.09), (2, 9.75)), "tok/sec": (3, (0, 93248.0), (2, 93248.0))},
    ),
    Style(
        "yolox",
        "train_log.txt",
        lines(
            "2022-01-01 00:00:0{} | INFO     | yolox.core.trainer:250 - epoch: {}/300, iter: {}/100, mem: 5000Mb, iter_time: 0.500s, "
            "data_time: 0.001s, total_loss: {}, iou_loss: 4.5, lr: 1.000e-06, size: 640, ETA: 1 day, 10:00:00",
            (1, 1, 10, 12.3),
            (2, 1, 20, 11.0),
            (3, 2, 10, 10.0),
        ),
        {"total_loss": (3, (10, 12.3), (110, 10.0)), "lr": (3, (10, 1e-6), (110, 1e-6))},
    ),
    Style(
        "paddleseg with a restart",
        "workerlog.0",
        lines(
            "2021-12-06 01:52:1{} [INFO]\t[TRAIN] epoch: 1, iter: {}/400, loss: {}, lr: 0.001000, batch_cost: 0.4023, reader_cost: "
            "0.20281, ips: 9.9425 samples/sec | ETA 13:24:17",
            (1, 50, 2.5),
            (2, 100, 2.25),
        )
        + "2021-12-06 01:53:00 [INFO]\t[EVAL] #Images: 500 mIoU: 0.3015 Acc: 0.8607 Kappa: 0.8191 \n"
        "2021-12-06 01:53:00 [INFO]\t[EVAL] Class IoU: \n[0.9271 0.5373 0.7514\n 0.8191 0.3474 0.    ]\n"
        + lines(
            "2021-12-06 02:52:1{} [INFO]\t[TRAIN] epoch: 1, iter: {}/400, loss: {}, lr: 0.001000, batch_cost: 0.4023, reader_cost: "
            "0.20281, ips: 9.9425 samples/sec | ETA 13:24:17",
            (1, 50, 2.4),
            (2, 100, 2.2),
        )
        + "FatalError: `Termination signal` is detected by the operating system.\n  [SignalInfo: *** SIGTERM (@0x0) received ***]\n",
        {"loss": (4, (50, 2.5), (100, 2.2)), "val/mIoU": (1, (100, 0.3015), (100, 0.3015))},
        "killed",
    ),
    Style(
        "paddlenlp",
        "nlp.log",
        lines(
            "[2022-11-15 03:16:0{},523] [    INFO] - loss: {}, learning_rate: 3e-05, global_step: {}, interval_runtime: 1.2, "
            "interval_samples_per_second: 26.4, epoch: 0.{}",
            (1, 1.5, 10, 1),
            (2, 1.25, 20, 2),
            (3, 1.0, 30, 3),
        )
        + "[2022-11-15 03:20:03,523] [    INFO] - Training completed. \n[2022-11-15 03:20:03,523] [    INFO] -   train_loss  =  1.2\n",
        {"loss": (3, (10, 1.5), (30, 1.0)), "learning_rate": (3, (10, 3e-5), (30, 3e-5))},
        "finished",
    ),
    Style(
        "paddleocr",
        "ocr.log",
        lines(
            "[2021/12/06 01:51:5{}] ppocr INFO: epoch: [{}/500], global_step: {}, lr: 0.001000, acc: 0.5, loss: {}, avg_reader_cost: "
            "0.1 s, avg_batch_cost: 0.5 s, avg_samples: 64.0, ips: 128.0 samples/s, eta: 1 day, 1:00:00",
            (1, 1, 10, 20.5),
            (2, 1, 20, 19.5),
            (3, 2, 30, 18.5),
        ),
        {"loss": (3, (10, 20.5), (30, 18.5)), "lr": (3, (10, 0.001), (30, 0.001))},
    ),
    Style(
        "deepspeed-chat rlhf",
        "step3.log",
        "cmd = deepspeed main.py --actor_lr 9.65e-6 --num_train_epochs 1 --offload\n"
        + "".join(
            f"epoch: 0|step: {n}|ppo_ep: 1|act_loss: 0.0{n}|cri_loss: 0.{n}|unsuper_loss: 0.0\naverage reward score: -{n}.5\n"
            for n in range(3)
        )
        + "[2023-04-18 03:20:41,455] [INFO] [launch.py:460:main] Process 73593 exits successfully.\n",
        {"act_loss": (3, (0, 0.0), (2, 0.02)), "average reward score": (3, (0, -0.5), (2, -2.5))},
        "finished",
        {"actor_lr": "9.65e-6", "offload": True},
    ),
    Style(
        "mlperf with two metrics under one key",
        "result_3.txt",
        lines(
            ':::MLLOG {{"namespace": "", "time_ms": 17153270783{0}0, "event_type": "POINT_IN_TIME", "key": "eval_accuracy", "value": {1}, '
            '"metadata": {{"metric": "{2}", "samples_count": {3}, "file": "train.py", "lineno": 31}}}}',
            (1, 120.5, "FID", 512),
            (2, 0.1, "CLIP", 512),
            (3, 90.25, "FID", 1024),
            (4, 0.15, "CLIP", 1024),
        )
        + ':::MLLOG {"time_ms": 1715327371433, "event_type": "POINT_IN_TIME", "key": "seed", "value": 18545, "metadata": {"lineno": 47}}\n'
        ':::MLLOG {"time_ms": 1715334707404, "event_type": "INTERVAL_END", "key": "run_stop", "value": null, "metadata": {"status": "aborted"}}\n',
        {"eval_accuracy/FID": (2, (512, 120.5), (1024, 90.25)), "eval_accuracy/CLIP": (2, (512, 0.1), (1024, 0.15))},
        "killed",
        {"seed": 18545},
        only=True,
    ),
    Style(
        "tensorflow estimator",
        "estimator.log",
        lines("INFO:tensorflow:loss = {}, step = {} (1.234 sec)", (0.5, 100), (0.4, 200), (0.3, 300)),
        {"loss": (3, (100, 0.5), (300, 0.3))},
    ),
    Style(
        "opennmt",
        "onmt.log",
        lines(
            "[2023-01-01 10:00:0{},000 INFO] Step {}/100000; acc:  2.50; ppl: {}; xent: 7.10; lr: 0.00010; 1234/ 567 tok/s;     10 sec",
            (1, 50, 1234.5),
            (2, 100, 900.25),
            (3, 150, 700.5),
        ),
        {"ppl": (3, (50, 1234.5), (150, 700.5)), "lr": (3, (50, 1e-4), (150, 1e-4))},
    ),
    Style(
        "marian",
        "marian.log",
        lines(
            "[2023-01-01 10:00:0{}] Ep. 1 : Up. {} : Sen. 64,000 : Cost {} * 1,234,567 : Time 20.30s : 6000.00 words/s",
            (1, 1000, 5.6),
            (2, 2000, 5.1),
            (3, 3000, 4.9),
        )
        + "[2023-01-01 10:10:00] [valid] Ep. 1 : Up. 3000 : cross-entropy : 120.5 : new best\n",
        {"Cost": (3, (1000, 5.6), (3000, 4.9)), "valid/cross-entropy": (1, (3000, 120.5), (3000, 120.5))},
    ),
    Style(
        "flair",
        "training.log",
        lines(
            "2023-01-01 10:00:0{},000 epoch {} - iter {}/100 - loss {} - time (sec): 1.20 - samples/sec: 20.50 - lr: 0.100000",
            (1, 1, 10, 3.5),
            (2, 1, 20, 3.25),
            (3, 2, 10, 3.0),
        ),
        {"loss": (3, (10, 3.5), (110, 3.0)), "lr": (3, (10, 0.1), (110, 0.1))},
    ),
    Style(
        "rsl_rl blocks",
        "rsl.log",
        "".join(
            "#" * 80 + f"\n                      \x1b[1m Learning iteration {n}/1500 \x1b[0m\n\n"
            "                       Computation: 10000 steps/s (collection: 1.2s, learning 0.3s)\n"
            f"               Value function loss: 0.0{n}\n                    Surrogate loss: -0.001\n"
            f"                       Mean reward: {n}.5\n               Mean episode length: 20.25\n"
            + "-" * 80
            + "\n                   Total timesteps: 98304\n"
            for n in range(4)
        ),
        {"Mean reward": (4, (0, 0.5), (3, 3.5)), "Value function loss": (4, (0, 0.0), (3, 0.03))},
    ),
    Style(
        "epoch header, then lone lines",
        "lone.log",
        "".join(
            f"Epoch {n}/20\n----------\ntrain Loss: 0.{9 - n} Acc: 0.{n}\nval Loss: 1.{9 - n} Acc: 0.5{n}\n\n"
            for n in (1, 2, 3)
        ),
        {
            "train/Loss": (3, (1, 0.8), (3, 0.6)),
            "val/Loss": (3, (1, 1.8), (3, 1.6)),
            "val/Acc": (3, (1, 0.51), (3, 0.53)),
        },
    ),
    Style(
        "words without signs",
        "words.log",
        lines("Epoch {}: val_loss {}, coverage A 97.{}%", (5, 0.3, 10), (6, 0.2843, 19), (7, 0.28, 25)),
        {"val_loss": (3, (5, 0.3), (7, 0.28)), "coverage A": (3, (5, 97.1), (7, 97.25))},
    ),
    Style(
        "best line and a final result",
        "final.log",
        lines("Epoch {}/100 | train_loss=0.{} | val_loss=0.0525 | parse_success=93.8%", (98, 48), (99, 46), (100, 451))
        + "Best val loss: 0.0525\nTest accuracy: 93.5%\n",
        {
            "train_loss": (3, (98, 0.48), (100, 0.451)),
            "parse_success": (3, (98, 93.8), (100, 93.8)),
            "Test accuracy": (1, (100, 93.5), (100, 93.5)),
        },
        "finished",
    ),
    Style(
        "several ranks in one file",
        "srun.out",
        "".join(
            f"{rank}: [2023-01-01 10:00:0{n}] epoch {n} train_loss: {n}.{rank}5 lr: 0.1\n"
            for n in (1, 2, 3)
            for rank in (0, 1, 2)
        )
        + '1: Traceback (most recent call last):\n1:   File "train.py", line 3, in <module>\n1: RuntimeError: CUDA error: device-side assert\n',
        {"train_loss": (3, (1, 1.05), (3, 3.05))},
        "failed",
    ),
    Style(
        "composer",
        "composer.log",
        "".join(f"[batch={n}/1000]:\n\t Train time/epoch: 0\n\t Train loss/train/total: {n}.5\n" for n in (1, 2, 3)),
        {"loss/train/total": (3, (1, 1.5), (3, 3.5))},
    ),
    Style(
        "lightning bar",
        "pl.log",
        "".join(
            f"\rEpoch {epoch}: {n * 25}%|██        | {n}/4 [00:0{n}<00:03,  4.50it/s, v_num=81, train_loss={epoch}.{n}]"
            for epoch in (0, 1)
            for n in (1, 2, 2, 3, 4)
        )
        + "\n`Trainer.fit` stopped: `max_epochs=2` reached.\n",
        {"train_loss": (8, (1, 0.1), (8, 1.4))},
        "finished",
        only=True,
    ),
    Style(
        "accelerate dicts after words",
        "accel.log",
        lines(
            "01/01/2023 10:00:00 - INFO - __main__ - epoch {}: {{'accuracy': 0.{}, 'f1': 0.9}}", (0, 8), (1, 85), (2, 9)
        ),
        {"accuracy": (3, (0, 0.8), (2, 0.9))},
    ),
    Style(
        "killed by the scheduler",
        "slurm-123.out",
        lines("epoch {} loss {}", (1, 0.5), (2, 0.4), (3, 0.3))
        + "slurmstepd: error: *** JOB 123 ON n1 CANCELLED AT 2023-01-01T10:00:00 DUE TO TIME LIMIT ***\n",
        {"loss": (3, (1, 0.5), (3, 0.3))},
        "killed",
    ),
    Style(
        "a caught error does not fail the run",
        "caught.log",
        'step 1 loss: 0.5\nTraceback (most recent call last):\n  File "a.py"\nValueError: retry\n'
        + lines("step {} loss: {}", (2, 0.4), (3, 0.3), (4, 0.2), (5, 0.1)),
        {"loss": (5, (1, 0.5), (5, 0.1))},
    ),
]


def same(got: list[tuple[int | None, float]], expected: tuple[int, Point, Point]) -> bool:
    count, first, last = expected
    if len(got) != count:
        return False
    return all(
        step == wanted_step and (value == pytest.approx(wanted) or (math.isnan(value) and math.isnan(wanted)))
        for (step, value), (wanted_step, wanted) in ((got[0], first), (got[-1], last))
    )


@pytest.mark.parametrize("style", STYLES, ids=[style.name for style in STYLES])
def test_a_style_is_read(style: Style, registry: Registry, logs: Path) -> None:
    (logs / style.file).write_bytes(style.text.encode())

    registry.look(logs)

    (_name, (status, params, series)) = registry.dump().popitem()
    for name, expected in style.series.items():
        assert name in series, f"{name} is not among {sorted(series)}"
        assert same(series[name], expected), (
            f"{name}: {len(series[name])} points {series[name][:3]} … {series[name][-2:]}"
        )
    assert status == style.status
    assert style.params.items() <= params.items()
    if style.only:
        assert set(series) == set(style.series)
    assert registry.look(logs) == 0, "a second look adds nothing"
