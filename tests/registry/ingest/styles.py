# ruff: noqa: E501 (log lines are as long as the programs write them)
"""Logs in the grammars of many programs, a few lines each, with what they hold; and files that hold no metrics.

A case names its files with their text, and the series that must be there as `name: (count, first, last)` with points
`(step, value)`, ANY for a step that the log leaves open.
"""

import json
from dataclasses import dataclass

ANY = -(2**40)
Point = tuple[int | None, float]
Expected = dict[str, tuple[int, Point, Point]]


@dataclass(frozen=True)
class Case:
    """A run's files and what they hold; `status` empty: any."""

    name: str
    files: dict[str, str | bytes]
    series: Expected
    status: str = ""
    n_runs: int | None = None


CASES: list[Case] = []
NEGATIVES: list[Case] = []


def style(name, file, *rest, status="", n_runs=None):
    """Add a case: one file and its text, or several by name."""
    files = {file: rest[0]} if isinstance(file, str) else file
    CASES.append(Case(name, files, rest[-1], status, n_runs))


def nothing(name, file, text):
    """Add a file from which nothing must come."""
    NEGATIVES.append(Case(name, {file: text}, {}))


def rows(template, *cells):
    """Return the template once for each tuple of cells."""
    return "".join(template.format(*row) + "\n" for row in cells)


style(
    "keras verbose=2",
    "train.log",
    "".join(
        f"Epoch {e}/3\n1875/1875 - 3s - 2ms/step - accuracy: 0.9{e} - loss: 0.{5 - e}5 - val_accuracy: 0.95{e} - val_loss: 0.1{e}\n"
        for e in (1, 2, 3)
    ),
    {"accuracy": (3, (1, 0.91), (3, 0.93)), "val_loss": (3, (1, 0.11), (3, 0.13))},
    status="finished",
)
style(
    "keras callbacks",
    "fit.log",
    "".join(
        f"Epoch {e}/30\n\n63/63 [==============================] - ETA: 0s - loss: 0.{5 - e}5\x08\x08\x08\nEpoch {e}: val_loss improved from {'inf' if e == 1 else f'0.2{e - 1}'} to 0.2{e}, saving model to best.h5\n63/63 [==============================] - 3s 20ms/step - loss: 0.{5 - e}4 - val_loss: 0.2{e} - lr: 0.0010\n"
        for e in (1, 2, 3)
    )
    + "Epoch 3: ReduceLROnPlateau reducing learning rate to 0.00020000000949949026.\nEpoch 3: early stopping\n",
    {"loss": (3, (1, 0.44), (3, 0.24)), "val_loss": (3, (1, 0.21), (3, 0.23))},
)
style(
    "keras3 cr",
    "k3.log",
    "".join(
        f"Epoch {e}/2\n"
        + "".join(
            f"\r\x1b[1m{n}/3\x1b[0m \x1b[32m━━━━━\x1b[0m\x1b[37m━━━━\x1b[0m \x1b[1m1s\x1b[0m 4ms/step - loss: {9 - n}.{e}"
            for n in (1, 2, 3)
        )
        + f"\x08\x08\x08\r\x1b[1m3/3\x1b[0m \x1b[32m━━━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m2s\x1b[0m 5ms/step - loss: 5.{e} - val_loss: 4.{e}\n"
        for e in (1, 2)
    ),
    {"loss": (2, (1, 5.1), (2, 5.2)), "val_loss": (2, (1, 4.1), (2, 4.2))},
)


# lightning
def lit():
    s = "GPU available: True (cuda), used: True\nTPU available: False, using: 0 TPU cores\nLOCAL_RANK: 0 - CUDA_VISIBLE_DEVICES: [0]\n\n  | Name  | Type    | Params | Mode \n------------------------------------------\n0 | model | ResNet  | 11.2 M | train\n1 | acc   | Acc     | 0      | train\n------------------------------------------\n11.2 M    Trainable params\n0         Non-trainable params\n11.2 M    Total params\n44.700    Total estimated model params size (MB)\n"
    s += "Sanity Checking DataLoader 0:   0%|          | 0/2 [00:00<?, ?it/s]\rSanity Checking DataLoader 0: 100%|██████████| 2/2 [00:00<00:00, 20.1it/s]\r                                          \r"
    for e in range(2):
        for n in (1, 2, 3, 4):
            s += f"Epoch {e}:  {n * 25}%|██   | {n}/4 [00:0{n}<00:03, 2.5it/s, v_num=0, train_loss_step={3 - e}.{9 - n}0, val_loss={2 - e}.50]\r"
        s += "\nValidation DataLoader 0: 100%|██████████| 2/2 [00:00<00:00, 33.1it/s]\x1b[A\n"
        s += f"Epoch {e}: 100%|██████████| 4/4 [00:05<00:00,  0.8it/s, v_num=0, train_loss_step={3 - e}.50, val_loss={1 - e}.55, train_loss_epoch={3 - e}.65]\r"
    s += "Epoch 1, global step 8: 'val_loss' reached 0.55000 (best 0.55000), saving model to '/x/epoch=1-step=8.ckpt' as top 1\n"
    return (
        s
        + "`Trainer.fit` stopped: `max_epochs=2` reached.\n┏━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┓\n┃  Test metric ┃ DataLoader 0 ┃\n┡━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━┩\n│   test_acc   │    0.9805    │\n│   test_loss  │   0.06150    │\n└──────────────┴──────────────┘\n"
    )


style(
    "lightning console",
    "out.log",
    lit(),
    {
        "train_loss_step": (8, (1, 3.8), (8, 2.5)),
        "test_acc": (1, (ANY, 0.9805), (ANY, 0.9805)),
        "test_loss": (1, (ANY, 0.0615), (ANY, 0.0615)),
    },
    status="finished",
)
style(
    "torchtune tqdm",
    "tune.log",
    "".join(f"1|{n}|Loss: 1.{50 - n}: {n * 4:3d}%|██   | {n}/25 [00:0{n}<00:20,  1.2s/it]\r" for n in range(1, 26)),
    {"Loss": (25, (1, 1.49), (25, 1.25))},
)
style(
    "axolotl",
    "ax.log",
    "[2024-05-01 10:00:00,123] [INFO] [axolotl.train.train:60] [PID:123] [RANK:0] loading tokenizer... meta-llama/Llama-2\n"
    + "".join(
        f"{{'loss': 1.{9 - n}, 'grad_norm': 0.5, 'learning_rate': 2e-05, 'epoch': 0.0{n}}}\n\n  {n}%|▏   | {n}/100 [00:1{n}<10:00,  3.1s/it]\n"
        for n in (1, 2, 3, 4)
    )
    + "[2024-05-01 10:05:00,123] [INFO] [axolotl.utils.samplers] gather_len_batches: [100]\n{'eval_loss': 1.5, 'eval_runtime': 3.2, 'eval_samples_per_second': 4.1, 'eval_steps_per_second': 2.0, 'epoch': 0.04}\n[2024-05-01 10:09:00,123] [INFO] [axolotl.train.log:60] [PID:1] [RANK:0] Training Completed!!! Saving pre-trained model to ./out\n",
    {"loss": (4, (ANY, 1.8), (ANY, 1.5)), "eval_loss": (1, (ANY, 1.5), (ANY, 1.5))},
    status="finished",
)
style(
    "litgpt",
    "lit.log",
    rows(
        "Epoch 1 | iter {0} step {0} | loss train: 2.{1}, val: {2} | iter time: 345.67 ms (step) remaining time: 0:10:00",
        (1, 9, "n/a"),
        (2, 8, "n/a"),
        (3, 7, 2.75),
        (4, 6, 2.75),
    ),
    {"loss train": (4, (1, 2.9), (4, 2.6)), "val": (2, (3, 2.75), (4, 2.75))},
)
style(
    "d2 eval",
    "log.txt",
    "".join(
        f"[01/05 18:0{n}:00 d2.utils.events]:  eta: 0:04:00  iter: {n * 20 - 1}  total_loss: {3 - n * 0.5}  loss_cls: 0.5  loss_box_reg: 0.3  time: 0.3012  last_time: 0.30  data_time: 0.01  last_data_time: 0.001  lr: 0.0002  max_mem: 2500M\n"
        for n in (1, 2, 3)
    )
    + "[01/05 18:10:00 d2.evaluation.coco_evaluation]: Evaluation results for bbox: \n|   AP   |  AP50  |  AP75  |  APs  |  APm  |  APl  |\n|:------:|:------:|:------:|:-----:|:-----:|:-----:|\n| 39.123 | 60.123 | 42.500 | 22.100 | 43.200 | 51.300 |\n[01/05 18:10:00 d2.engine.defaults]: Evaluation results for coco_2017_val in csv format:\n[01/05 18:10:00 d2.evaluation.testing]: copypaste: Task: bbox\n[01/05 18:10:00 d2.evaluation.testing]: copypaste: AP,AP50,AP75,APs,APm,APl\n[01/05 18:10:00 d2.evaluation.testing]: copypaste: 39.1230,60.1230,42.5000,22.1000,43.2000,51.3000\n",
    {"total_loss": (3, (19, 2.5), (59, 1.5)), "AP50": (1, (ANY, 60.123), (ANY, 60.123))},
)
style(
    "mmengine scalars",
    {
        "20230101/vis_data/scalars.json": "".join(
            f'{{"lr": 0.01, "data_time": 0.1, "loss": {3 - n * 0.5}, "loss_cls": 0.4, "time": 0.5, "epoch": 1, "iter": {50 * n}, "memory": 5000, "step": {50 * n}}}\n'
            for n in (1, 2, 3)
        )
        + '{"coco/bbox_mAP": 0.301, "coco/bbox_mAP_50": 0.5, "data_time": 0.1, "time": 0.2, "step": 1}\n'
    },
    {"loss": (3, (50, 2.5), (150, 1.5)), "coco/bbox_mAP": (1, (1, 0.301), (1, 0.301))},
)
style(
    "yolov5 console",
    "train.log",
    "train: weights=yolov5s.pt, cfg=, data=coco128.yaml, epochs=3, batch_size=16, imgsz=640\nhyperparameters: lr0=0.01, lrf=0.01, momentum=0.937\n                 from  n    params  module                                  arguments\n  0                -1  1      3520  models.common.Conv                      [3, 32, 6, 2, 2]\n"
    + "".join(
        f"\n      Epoch    GPU_mem   box_loss   obj_loss   cls_loss  Instances       Size\n        {e}/2      3.2G    0.04{e}    0.06{e}    0.01{e}        215        640: 100%|██████████| 8/8 [00:05<00:00,  1.5it/s]\n                 Class     Images  Instances          P          R      mAP50   mAP50-95: 100%|██████████| 4/4 [00:01<00:00,  2.5it/s]\n                   all        128        929      0.72{e}      0.63{e}      0.71{e}      0.47{e}\n"
        for e in (0, 1, 2)
    )
    + "\n3 epochs completed in 0.012 hours.\n",
    {"box_loss": (3, (0, 0.040), (2, 0.042)), "mAP50": (3, (0, 0.710), (2, 0.712))},
    status="finished",
)
style(
    "yolov5 csv",
    {
        "exp/results.csv": "               epoch,      train/box_loss,      train/obj_loss,   metrics/precision,     metrics/mAP_0.5,metrics/mAP_0.5:0.95,        val/box_loss,               x/lr0\n"
        + "".join(
            f"                   {e},             0.0{4 - e}1,             0.0650,              0.6{e},              0.7{e},              0.4{e},             0.05,             0.0900\n"
            for e in range(3)
        ),
        "exp/opt.yaml": "weights: yolov5s.pt\nepochs: 3\nbatch_size: 16\n",
        "exp/hyp.yaml": "lr0: 0.01\n",
    },
    {"train/box_loss": (3, (0, 0.041), (2, 0.021)), "metrics/mAP_0.5": (3, (0, 0.70), (2, 0.72))},
    n_runs=1,
)
style(
    "yolov7 results",
    "results.txt",
    "".join(
        f"       {e}/2     9.76G   0.068{e}   0.0328   0.0208    0.1226        21       640    0.1{e}      0.23     0.05     0.011   0.07    0.04    0.03\n"
        for e in range(3)
    ),
    {"train/box_loss": (3, (0, 0.0680), (2, 0.0682))},
)
style(
    "darknet",
    "dk.log",
    " Learning Rate: 0.001, Momentum: 0.949, Decay: 0.0005\n"
    + "".join(
        f"v3 (iou loss, Normalizer: (iou: 0.07, obj: 1.00, cls: 1.00) Region 139 Avg (IOU: 0.{n}5), count: 4, class_loss = 3.5, iou_loss = 0.2, total_loss = 3.7 \n\n (next mAP calculation at 1000 iterations) \n {n}: {9 - n}.345678, {9 - n}.445678 avg loss, 0.001000 rate, 3.200000 seconds, {64 * n} images, 10.1 hours left\n"
        for n in (1, 2, 3)
    )
    + " Last accuracy mAP@0.50 = 92.31 %, best = 93.01 % \n",
    {"loss": (3, (1, 8.345678), (3, 6.345678)), "avg_loss": (3, (1, 8.445678), (3, 6.445678))},
)


def caffe():
    s = "I0101 12:00:00.123456  1234 solver.cpp:48] Initializing solver from parameters: \ntest_iter: 100\nbase_lr: 0.01\ndisplay: 100\nmax_iter: 300\n"
    for n in (0, 100, 200, 300):
        if n in (0, 200):
            s += f"I0101 12:00:00.123456  1234 solver.cpp:337] Iteration {n}, Testing net (#0)\nI0101 12:00:01.1 1234 solver.cpp:404]     Test net output #0: accuracy = 0.9{n // 100}\nI0101 12:00:01.100000  1234 solver.cpp:404]     Test net output #1: loss = 0.2{n // 100} (* 1 = 0.2{n // 100} loss)\n"
        s += f"I0101 12:00:02.123456  1234 solver.cpp:228] Iteration {n} (12.5 iter/s, 8s/100 iters), loss = {3 - n / 100:.1f}\nI0101 12:00:02.123456  1234 solver.cpp:244]     Train net output #0: loss = {3 - n / 100:.1f} (* 1 = {3 - n / 100:.1f} loss)\nI0101 12:00:02.123456  1234 sgd_solver.cpp:106] Iteration {n}, lr = 0.0{n // 100 + 1}\n"
    return s + "I0101 12:00:09.123456  1234 solver.cpp:315] Optimization Done.\n"


style(
    "caffe",
    "caffe.log",
    caffe(),
    {"loss": (4, (0, 3.0), (300, 0.0)), "lr": (4, (0, 0.01), (300, 0.04)), "accuracy": (2, (0, 0.90), (200, 0.92))},
    status="finished",
)
style(
    "kaldi nnet3",
    "train.1.log",
    "".join(
        f"LOG (nnet3-train[5.5.0]:PrintStatsForThisPhase():nnet-training.cc:300) Average objective function for 'output' for minibatches {100 * n}-{100 * n + 99} is -{5 - n}.1 over 12800 frames.\n"
        for n in range(3)
    )
    + "LOG (nnet3-train[5.5.0]:PrintTotalStats():nnet-training.cc:350) Overall average objective function for 'output' is -4.1 over 38400 frames.\n",
    {"output/objective": (3, (99, -5.1), (299, -3.1)), "output/overall_objective": (1, (299, -4.1), (299, -4.1))},
)
style(
    "espnet1 log",
    "log",
    "[\n"
    + ",\n".join(
        f'  {{"epoch": 1, "iteration": {100 * n}, "main/loss": {50 - n}.5, "main/loss_ctc": 60.1, "elapsed_time": 12.{n}}}'
        for n in (1, 2, 3)
    )
    + "\n]",
    {"main/loss": (3, (100, 49.5), (300, 47.5))},
)
style(
    "espnet2",
    "train.log",
    "".join(
        f"[host] 2023-01-01 10:0{n}:00,123 (trainer:762) INFO: {e}epoch:train:{50 * b - 49}-{50 * b}batch: iter_time=0.012, forward_time=0.1, loss_ctc=50.1, loss_att=40.2, acc=0.3{n}, loss=4{5 - n}.1, backward_time=0.1, optim0_lr0=1e-05, train_time=0.5\n"
        for n, (e, b) in enumerate([(1, 1), (1, 2), (2, 1)])
    )
    + "[host] 2023-01-01 10:10:00,123 (trainer:357) INFO: 2epoch results: [train] iter_time=0.012, loss_ctc=48, acc=0.41, loss=42.5, time=10 minutes, total_count=200, [valid] loss_ctc=30.1, acc=0.62, loss=25.5, time=20 seconds, total_count=20, [att_plot] time=10 seconds\n",
    {"val/loss": (1, (2, 25.5), (2, 25.5)), "train/loss": (1, (2, 42.5), (2, 42.5))},
)
style(
    "onmt",
    "onmt2.log",
    "".join(
        f"[2023-01-01 10:00:0{n},000 INFO] Step {50 * n}/  200; acc: {10 * n}.2; ppl: {900 - n * 100}.1; xent: 7.1; lr: 0.0001; sents:  1234; bsz: 200/ 210/ 4; 1234/ 567 tok/s;     10 sec;\n"
        + (
            f"[2023-01-01 10:00:0{n},100 INFO] valid stats calculation\nvalid stats: took: 12.3 s.\n[2023-01-01 10:00:0{n},100 INFO] Train perplexity: 912.3\n[2023-01-01 10:00:0{n},100 INFO] Train accuracy: 11.5\n[2023-01-01 10:00:0{n},100 INFO] Validation perplexity: {700 - n * 10}.1\n[2023-01-01 10:00:0{n},100 INFO] Validation accuracy: 1{n}.5\n"
            if n % 2 == 0
            else ""
        )
        for n in (1, 2, 3, 4)
    ),
    {
        "ppl": (4, (50, 800.1), (200, 500.1)),
        "Validation perplexity": (2, (100, 680.1), (200, 660.1)),
        "Validation accuracy": (2, (100, 12.5), (200, 14.5)),
        "acc": (4, (50, 10.2), (200, 40.2)),
    },
)
style(
    "sockeye",
    "sockeye.log",
    "".join(
        f"[2023-01-01:10:00:0{n}:INFO:sockeye.training:log] Epoch[0] Batch [{50 * n}]\tSpeed: 1234.56 samples/sec 23456.70 tokens/sec 2.10 updates/sec\tperplexity={900 - n * 100}.5\n"
        for n in (1, 2, 3)
    )
    + "[2023-01-01:10:10:00:INFO:sockeye.training:_create_checkpoint] Checkpoint [1]\tUpdates=1000 Epoch=0 Samples=64000 Time-cost=300.1 Updates/sec=3.3\n[2023-01-01:10:10:00:INFO:sockeye.training:_evaluate] Checkpoint [1]\tValidation-perplexity=120.5\tValidation-accuracy=0.3\n",
    {"perplexity": (3, (50, 800.5), (150, 600.5))},
)
style(
    "mxnet",
    "mx.log",
    "".join(
        "".join(
            f"INFO:root:Epoch[{e}] Batch [{b}]\tSpeed: 1000.00 samples/sec\taccuracy=0.{5 + e}{b // 100}\n"
            for b in (100, 200, 300)
        )
        + f"INFO:root:Epoch[{e}] Train-accuracy=0.6{e}\nINFO:root:Epoch[{e}] Time cost=12.3\nINFO:root:Epoch[{e}] Validation-accuracy=0.7{e}\n"
        for e in (0, 1, 2)
    ),
    {
        "Train-accuracy": (3, (0, 0.60), (2, 0.62)),
        "Validation-accuracy": (3, (0, 0.70), (2, 0.72)),
        "accuracy": (9, (ANY, 0.51), (ANY, 0.73)),
    },
)
style(
    "chainer",
    "chainer.log",
    "epoch       main/loss   validation/main/loss  main/accuracy  validation/main/accuracy  elapsed_time\n"
    + rows(
        "\x1b[J{0}           0.19{0}283    0.0985{0}            0.941517       0.968156                  10.5821",
        (1,),
        (2,),
        (3,),
    ),
    {"main/loss": (3, (1, 0.191283), (3, 0.193283)), "validation/main/loss": (3, (1, 0.09851), (3, 0.09853))},
)
style(
    "chainer bar",
    "chainer2.log",
    "epoch       main/loss   main/accuracy\n"
    + "".join(
        f"\x1b[J     total [#######...........................................] {n * 5}.00%\nthis epoch [##################################................] 70.00%\n       {n * 10} iter, {n} epoch / 20 epochs\n    27.1 iters/sec. Estimated time to finish: 0:01:23.123456.\n\x1b[4A\x1b[J{n}           0.19{n}       0.94{n}\n"
        for n in (1, 2, 3)
    ),
    {"main/loss": (3, (1, 0.191), (3, 0.193))},
)
style(
    "xgb times",
    "xgb.log",
    rows("[12:00:0{0}] [{0}]\ttrain-logloss:0.6{0}\tvalid-logloss:0.7{0}", (0,), (1,), (2,)),
    {"train-logloss": (3, (0, 0.60), (2, 0.62))},
)
style(
    "lgbm early",
    "lgb.log",
    "[LightGBM] [Info] Number of positive: 100, number of negative: 200\n[LightGBM] [Info] [binary:BoostFromScore]: pavg=0.5 -> initscore=0.1\nTraining until validation scores don't improve for 50 rounds\n"
    + rows("[{0}]\ttraining's binary_logloss: 0.6{0}\tvalid_1's binary_logloss: 0.7{0}", (10,), (20,), (30,), (40,))
    + "Early stopping, best iteration is:\n[20]\ttraining's binary_logloss: 0.620\tvalid_1's binary_logloss: 0.720\n",
    {"training's binary_logloss": (4, (10, 0.610), (40, 0.640))},
)
style(
    "sklearn mlp",
    "mlp.log",
    rows("Iteration {0}, loss = 0.{1}314718", (1, 9), (2, 8), (3, 7), (4, 6))
    + "Training loss did not improve more than tol=0.000100 for 10 consecutive epochs. Stopping.\n",
    {"loss": (4, (1, 0.9314718), (4, 0.6314718))},
)
style(
    "sklearn gb",
    "gb.log",
    "      Iter       Train Loss      OOB Improve   Remaining Time \n"
    + rows("         {0}           1.2{0}13           0.03{0}5            1.50s", (1,), (2,), (3,))
    + "        10           1.1013           0.0205            1.20s\n",
    {"Train Loss": (4, (1, 1.2113), (10, 1.1013))},
)
style(
    "sklearn sgd",
    "sgd.log",
    "".join(
        f"-- Epoch {e}\nNorm: {e}.23, NNZs: 20, Bias: -0.1{e}, T: {150 * e}, Avg. loss: 0.{9 - e}12345\nTotal training time: 0.0{e} seconds.\n"
        for e in (1, 2, 3, 4)
    )
    + "Convergence after 4 epochs took 0.04 seconds\n",
    {"Avg. loss": (4, (1, 0.812345), (4, 0.512345))},
)
style(
    "maxtext",
    "max.log",
    rows(
        "completed step: {0}, seconds: 1.{0}34, TFLOP/s/device: 100.{0}, Tokens/s/device: 1234.500, total_weights: 65536, loss: {1}.123",
        (0, 9),
        (1, 8),
        (2, 7),
        (3, 6),
    ),
    {"loss": (4, (0, 9.123), (3, 6.123)), "TFLOP/s/device": (4, (0, 100.0), (3, 100.3))},
)
style(
    "flax",
    "flax.log",
    rows(
        "I0101 12:00:0{0}.000000 140234 logging_writer.py:48] [{0}00] accuracy=0.5{0}, loss=2.{0}, steps_per_second=10.5",
        (1,),
        (2,),
        (3,),
    ),
    {"loss": (3, (100, 2.1), (300, 2.3)), "accuracy": (3, (100, 0.51), (300, 0.53))},
)
style(
    "flax mnist",
    "fm.log",
    rows(
        "I0101 12:00:0{0}.000000 140234 train.py:148] epoch:{0:>3}, train_loss: 0.{1}123, train_accuracy: 9{0}.10, test_loss: 0.05, test_accuracy: 98.1",
        (1, 9),
        (2, 8),
        (3, 7),
    ),
    {"train_loss": (3, (1, 0.9123), (3, 0.7123)), "test_accuracy": (3, (1, 98.1), (3, 98.1))},
)
style(
    "trax",
    "trax.log",
    "".join(
        f"Step {100 * n:6d}: Ran 100 train steps in 20.12 secs\nStep {100 * n:6d}: train CrossEntropyLoss |  {5 - n}.51\nStep {100 * n:6d}: eval  CrossEntropyLoss |  {5 - n}.61\nStep {100 * n:6d}: eval          Accuracy |  0.{n}1\n\n"
        for n in (1, 2, 3)
    ),
    {"train CrossEntropyLoss": (3, (100, 4.51), (300, 2.51)), "eval Accuracy": (3, (100, 0.11), (300, 0.31))},
)
style(
    "rllib result.json",
    {
        "PPO_CartPole/result.json": "".join(
            json.dumps(
                {
                    "custom_metrics": {},
                    "episode_media": {},
                    "info": {
                        "learner": {
                            "default_policy": {
                                "learner_stats": {"policy_loss": -0.01 * n, "vf_loss": 100.0 - n},
                                "num_agent_steps_trained": 128.0,
                            }
                        },
                        "num_env_steps_sampled": 4000 * n,
                    },
                    "episode_reward_max": 50.0 + n,
                    "episode_reward_mean": 20.5 + n,
                    "episode_len_mean": 20.5,
                    "episodes_this_iter": 100,
                    "hist_stats": {"episode_reward": [1.0, 2.0]},
                    "timesteps_total": 4000 * n,
                    "training_iteration": n,
                    "trial_id": "abc",
                    "done": n == 3,
                    "time_total_s": 3.1 * n,
                    "pid": 123,
                    "hostname": "h",
                    "node_ip": "10.0.0.1",
                    "config": {"lr": 0.0005, "gamma": 0.99, "num_workers": 2},
                    "timestamp": 1700000000 + n,
                }
            )
            + "\n"
            for n in (1, 2, 3)
        ),
        "PPO_CartPole/params.json": '{"lr": 0.0005}',
    },
    {"episode_reward_mean": (3, (ANY, 21.5), (ANY, 23.5)), "policy_loss": (3, (ANY, -0.01), (ANY, -0.03))},
    n_runs=1,
)
style(
    "cleanrl",
    "crl.log",
    rows("global_step={0}, episodic_return={1}", (23, "[23.]"), (47, "[24.]"), (90, "[43.]"), (120, "[30.]"))
    + "SPS: 1234\n",
    {"episodic_return": (4, (23, 23.0), (120, 30.0))},
)
style(
    "cleanrl2",
    "crl.log",
    "".join(f"global_step={n}, episodic_return={n}.0\nSPS: 12{n}\n" for n in (23, 47, 90, 120)),
    {"episodic_return": (4, (23, 23.0), (120, 120.0)), "SPS": (4, (23, 1223.0), (120, 12120.0))},
)
style(
    "sb3 eval",
    "sb.log",
    "".join(
        f"Eval num_timesteps={n}0000, episode_reward=-{n}50.00 +/- 50.00\nEpisode length: {n}00.00 +/- 0.00\nNew best mean reward!\n"
        for n in (1, 2, 3)
    ),
    {"episode_reward": (3, (10000, -150.0), (30000, -350.0)), "Episode length": (3, (ANY, 100.0), (ANY, 300.0))},
)
style(
    "spinup progress.txt",
    "progress.txt",
    "Epoch\tAverageEpRet\tStdEpRet\tEpLen\tTotalEnvInteracts\tLossPi\tTime\n"
    + "".join(f"{n}\t2{n}.5\t1.2\t22.1\t{4000 * (n + 1)}\t-0.0{n + 1}\t12.1\n" for n in range(3)),
    {"AverageEpRet": (3, (ANY, 20.5), (ANY, 22.5))},
)
style(
    "composer",
    "comp.log",
    "".join(
        f"[epoch=1][batch={n}/100]:\n\t Train time/batch: {n - 1}\n\t Train LanguageCrossEntropy: {11 - n}.5\n\t Train loss/train/total: {11 - n}.6\n\t Train throughput/tokens_per_sec: 1234.5\n"
        for n in (1, 2, 3)
    )
    + "[eval batch=1/10] Eval on eval data\n[eval batch=10/10] Eval on eval data:\n\t Eval metrics/eval/LanguagePerplexity: 1234.5\n",
    {
        "Train LanguageCrossEntropy": (3, (1, 10.5), (3, 8.5)),
        "metrics/eval/LanguagePerplexity": (1, (ANY, 1234.5), (ANY, 1234.5)),
    },
)
style(
    "timm summary",
    {
        "output/train/20230101-x/summary.csv": "epoch,train_loss,eval_loss,eval_top1,eval_top5,lr\n0,6.94,6.91,0.21,1.1,1e-06\n1,6.8,6.7,1.5,4.1,2e-4\n2,6.1,6.0,3.5,9.1,4e-4\n",
        "output/train/20230101-x/args.yaml": "model: resnet50\nlr: 0.1\n",
    },
    {"eval_top1": (3, (0, 0.21), (2, 3.5))},
    n_runs=1,
)
style(
    "timm log",
    "t.log",
    "".join(
        "".join(
            f"Train: {e} [ {b:3d}/100 ({b:3d}%)]  Loss: {7 - e - b / 100:.3f} (6.9)  Time: 0.220s,  312.30/s  (0.220s,  312.30/s)  LR: 1.000e-0{e + 1}  Data: 0.010 (0.010)\n"
            for b in (0, 50, 99)
        )
        + f"Test: [   0/10]  Time: 0.5 (0.5)  Loss:  6.5 (6.5)  Acc@1:  0.5 ( 0.5)  Acc@5:  2.5 ( 2.5)\nTest: [  10/10]  Time: 0.1 (0.2)  Loss:  6.{e} (6.4)  Acc@1:  1.{e} ( 1.{e})  Acc@5:  3.5 ( 3.5)\nCurrent checkpoints:\n ('./output/checkpoint-0.pth.tar', 1.{e})\n\n"
        for e in (0, 1)
    )
    + "*** Best metric: 1.1 (epoch 1)\n",
    {"Loss": (6, (0, 7.0), (199, 5.01))},
)
style(
    "llama2.c",
    "l2.log",
    "step 0: train loss 10.4, val loss 10.5\n"
    + rows("{0} | loss {1}.1234 | lr 0.000{0}00e+00 | 123.45ms | mfu 12.34%", (0, 9), (1, 8), (2, 7), (3, 6)),
    {
        "train loss": (1, (0, 10.4), (0, 10.4)),
        "val loss": (1, (0, 10.5), (0, 10.5)),
        "loss": (4, (0, 9.1234), (3, 6.1234)),
    },
)
style(
    "rich handler",
    "rich.log",
    "".join(
        f"[10:00:0{n}] INFO     epoch {n} - train_loss: 0.{9 - n} - val_loss: 0.{8 - n}        train.py:123\n"
        for n in (1, 2, 3)
    ),
    {"train_loss": (3, (1, 0.8), (3, 0.6)), "val_loss": (3, (1, 0.7), (3, 0.5))},
)
style(
    "rich handler2",
    "rich.log",
    "".join(
        f"[01/02/24 10:00:0{n}] INFO     Step {n}: loss=0.{9 - n} lr=1.0e-04             trainer.py:57\n"
        if n < 2
        else f"                    INFO     Step {n}: loss=0.{9 - n} lr=1.0e-04             trainer.py:57\n"
        for n in (1, 2, 3)
    ),
    {"loss": (3, (1, 0.8), (3, 0.6))},
)
style(
    "loguru",
    "lg.log",
    "".join(
        f"2023-01-01 10:00:0{n}.123 | INFO     | __main__:train:45 - Epoch {n} | loss 0.{9 - n} | acc 0.{n}5\n"
        for n in (1, 2, 3)
    ),
    {"loss": (3, (1, 0.8), (3, 0.6)), "acc": (3, (1, 0.15), (3, 0.35))},
)
style(
    "logging default",
    "ld.log",
    "".join(f"INFO:__main__:epoch {n} loss=0.{9 - n} acc=0.{n}\n" for n in (1, 2, 3)),
    {"loss": (3, (1, 0.8), (3, 0.6))},
)
style(
    "structlog console",
    "sl.log",
    "".join(
        f"2023-01-01T10:00:0{n}.123456Z [info     ] train step                     loss=0.{9 - n} lr=0.001 step={n}0\n"
        for n in (1, 2, 3)
    ),
    {"loss": (3, (10, 0.8), (30, 0.6))},
)
style(
    "structlog json",
    "sl.jsonl",
    "".join(
        f'{{"event": "train", "step": {n}0, "loss": 0.{9 - n}, "level": "info", "timestamp": "2023-01-01T10:00:0{n}Z"}}\n'
        for n in (1, 2, 3)
    ),
    {"loss": (3, (10, 0.8), (30, 0.6))},
)
style(
    "gh actions",
    "gha.log",
    "".join(f"2023-01-01T10:00:0{n}.1234567Z Epoch {n}: loss = 0.{9 - n}, accuracy = 0.{n}\n" for n in (1, 2, 3)),
    {"loss": (3, (1, 0.8), (3, 0.6))},
)
style(
    "ppdet",
    "ppd.log",
    "".join(
        f"[01/01 10:00:0{n}] ppdet.engine INFO: Epoch: [{e}] [{b:4d}/1000] learning_rate: 0.001000 loss: {5 - n}.2 loss_cls: 0.5 eta: 1 day, 0:00:00 batch_cost: 0.5 data_cost: 0.01 ips: 12.3 images/s\n"
        for n, (e, b) in enumerate([(0, 0), (0, 20), (1, 0)])
    ),
    {"loss": (3, (0, 5.2), (ANY, 3.2)), "learning_rate": (3, (0, 0.001), (ANY, 0.001))},
)
style(
    "ppcls",
    "ppc.log",
    "".join(
        f"[2023/01/01 10:00:0{n}] ppcls INFO: [Train][Epoch {e}/20][Iter: {b}/100]lr(PiecewiseDecay): 0.01000000, top1: 0.{n}, top5: 0.5, CELoss: {5 - n}.6, loss: {5 - n}.6, batch_cost: 0.5s, reader_cost: 0.1, ips: 12.3 samples/s, eta: 0:10:00\n"
        for n, (e, b) in enumerate([(1, 0), (1, 10), (2, 0)])
    )
    + "[2023/01/01 10:01:00] ppcls INFO: [Train][Epoch 2/20][Avg]top1: 0.2, top5: 0.5, CELoss: 4.1, loss: 4.1\n[2023/01/01 10:01:00] ppcls INFO: [Eval][Epoch 2][Iter: 0/10]CELoss: 0.5, loss: 0.5, top1: 0.9, batch_cost: 0.5s, reader_cost: 0.1, ips: 12.3 images/sec\n[2023/01/01 10:01:00] ppcls INFO: [Eval][Epoch 2][Avg]CELoss: 0.55, loss: 0.55, top1: 0.91, top5: 0.99\n",
    {"top1": (3, (ANY, 0.0), (ANY, 0.2)), "epoch/eval/loss": (1, (2, 0.55), (2, 0.55))},
)
style(
    "mindspore",
    "ms.log",
    "".join(
        f"epoch: {e} step: {s}, loss is {5 - e}.{s // 100}23\n"
        + ("epoch time: 12345.6 ms, per step time: 12.3 ms\n" if s == 200 else "")
        for e in (1, 2)
        for s in (100, 200)
    ),
    {"loss": (4, (100, 4.123), (400, 3.223))},
)
style(
    "nemo2",
    "nemo.log",
    "".join(
        f"Training epoch 0, iteration {n}/99 | lr: 0.0003 | global_batch_size: 16 | global_step: {n} | reduced_train_loss: {9 - n}.2 | train_step_timing in s: 0.5 | consumed_samples: {16 * n + 16}\n"
        for n in (0, 1, 2, 3)
    ),
    {"reduced_train_loss": (4, (0, 9.2), (3, 6.2)), "train_step_timing in s": (4, (0, 0.5), (3, 0.5))},
)
style(
    "nemo tqdm",
    "nt.log",
    "".join(
        f"Epoch 0: :   0%|          | {n}/1000000 [00:10<00:20, v_num=lx, reduced_train_loss={9 - n}.20, global_step={n - 1}.000, consumed_samples={n * 16}.0, train_step_timing in s=1.230]\r"
        for n in (1, 2, 3)
    ),
    {"reduced_train_loss": (3, (ANY, 8.2), (ANY, 6.2))},
)
style(
    "neox",
    "neox.log",
    "".join(
        f" samples/sec: 12.3 | iteration      {n}0/     300 | elapsed time per iteration (ms): 1234.5 | learning rate: 1.500E-04 | approx flops per GPU: 45.9TFLOPS | lm_loss: {9 - n}.9E+00 | loss scale: 65536.0 | number of skipped iterations:   0 | number of nan iterations:   0 |\n"
        for n in (1, 2, 3)
    )
    + "-----------------------------------------------------------------------------------\n validation results at iteration 30 | lm_loss value: 6.5E+00 | lm_loss_ppl value: 6.6E+02 |\n",
    {
        "lm_loss": (3, (10, 8.9), (30, 6.9)),
        "lm_loss value": (1, (30, 6.5), (30, 6.5)),
        "samples/sec": (3, (10, 12.3), (30, 12.3)),
    },
)
style(
    "st eval csv",
    {
        "eval/similarity_evaluation_sts-dev_results.csv": "epoch,steps,cosine_pearson,cosine_spearman\n0,1000,0.81,0.80\n0,-1,0.82,0.81\n1,1000,0.83,0.82\n1,-1,0.84,0.83\n"
    },
    {"cosine_spearman": (4, (ANY, 0.80), (ANY, 0.83))},
)
style(
    "openclip",
    "oc.log",
    "".join(
        f"2023-01-01,10:00:0{n} | INFO | Train Epoch: 0 [ {4096 * n}/1000000 ({n}%)] Data (t): 1.012 Batch (t): 2.012, 123.4/s, 123.4/s/gpu LR: 0.00000{n} Logit Scale: 14.286 Contrastive_loss: {9 - n}.3 (8.3) Loss: {9 - n}.3 (8.3)\n"
        for n in (1, 2, 3)
    )
    + "2023-01-01,10:10:00 | INFO | Eval Epoch: 1 imagenet-zeroshot-val-top1: 0.0123\timagenet-zeroshot-val-top5: 0.0523\n",
    {
        "Loss": (3, (4096, 8.3), (12288, 6.3)),
        "imagenet-zeroshot-val-top1": (1, (1, 0.0123), (1, 0.0123)),
        "LR": (3, (4096, 1e-6), (12288, 3e-6)),
    },
)
style(
    "kohya",
    "kohya.log",
    "".join(f"\rsteps:   {n}%|▏      | {n}0/1000 [00:20<20:00,  2.00s/it, avr_loss=0.1{n}]" for n in (1, 2, 3, 4))
    + "\nepoch 2/10\n",
    {"avr_loss": (4, (10, 0.11), (40, 0.14))},
)
style(
    "stylegan stats",
    {
        "00000-run/stats.jsonl": "".join(
            json.dumps(
                {
                    "Loss/scores/fake": {"num": 32, "mean": -0.1 * n, "std": 0.2},
                    "Loss/G/loss": {"num": 32, "mean": 0.7 + n, "std": 0.1},
                    "Progress/tick": {"num": 1, "mean": n, "std": 0},
                    "Progress/kimg": {"num": 1, "mean": 4.0 * n, "std": 0},
                    "timestamp": 1600000000.1 + n,
                }
            )
            + "\n"
            for n in range(4)
        ),
        "00000-run/metric-fid50k_full.jsonl": "".join(
            json.dumps(
                {
                    "results": {"fid50k_full": 300.0 - n},
                    "metric": "fid50k_full",
                    "total_time": 100.1,
                    "total_time_str": "1m",
                    "num_gpus": 1,
                    "snapshot_pkl": f"network-snapshot-{n * 200:06d}.pkl",
                    "timestamp": 1600000000.5 + n,
                }
            )
            + "\n"
            for n in range(3)
        ),
        "00000-run/log.txt": "".join(
            f"tick {n}     kimg {4 * n}.0      time {n}m 10s       sec/tick 5.6     sec/kimg 175.00  maintenance 24.3   cpumem 2.5    gpumem 10.5   augment 0.000\n"
            for n in range(4)
        ),
    },
    {
        "Loss/G/loss": (4, (ANY, 0.7), (ANY, 3.7)),
        "fid50k_full": (3, (ANY, 300.0), (ANY, 298.0)),
        "sec/kimg": (4, (ANY, 175.0), (ANY, 175.0)),
    },
)
style(
    "basicsr",
    "bsr.log",
    "".join(
        f"2022-01-01 10:00:0{n},123 INFO: [EDSR_][epoch:  0, iter:   {n}00, lr:(1.000e-04,)] [eta: 1 day, 0:00:00, time (data): 0.512 (0.012)] l_pix: {9 - n}.2345e-02 \n"
        for n in (1, 2, 3)
    )
    + "2022-01-01 10:10:00,123 INFO: Validation Set5\n\t # psnr: 30.1234\tBest: 30.1234 @ 5000 iter\n\t # ssim: 0.8123\tBest: 0.8123 @ 5000 iter\n",
    {"l_pix": (3, (100, 0.082345), (300, 0.062345)), "psnr": (1, (ANY, 30.1234), (ANY, 30.1234))},
)
style(
    "cyclegan",
    {
        "checkpoints/maps/loss_log.txt": "================ Training Loss (Sat Jan  1 10:00:00 2022) ================\n"
        + "".join(
            f"(epoch: {e}, iters: {i}, time: 0.123, data: 0.312) D_A: 0.3{e} G_A: 0.{i // 100} cycle_A: 2.1 idt_A: 0.9 \n"
            for e in (1, 2)
            for i in (100, 200, 300)
        ),
        "checkpoints/maps/train_opt.txt": "----------------- Options ---------------\n               batch_size: 1                             \n                    beta1: 0.5                           \n                  lr: 0.0002                        \n----------------- End -------------------\n",
    },
    {"D_A": (6, (ANY, 0.31), (ANY, 0.32)), "cycle_A": (6, (ANY, 2.1), (ANY, 2.1))},
)
style(
    "hifigan",
    "hg.log",
    rows("Steps : {0}, Gen Loss Total : {1}.123, Mel-Spec. Error : 1.2{0}, s/b : 0.512", (5, 95), (10, 90), (15, 85)),
    {"Gen Loss Total": (3, (5, 95.123), (15, 85.123)), "Mel-Spec. Error": (3, (5, 1.25), (15, 1.215))},
)
style(
    "mellotron",
    "mel.log",
    rows("Train loss {0} 0.{1}45678 Grad Norm 1.23{0} 1.5s/it", (0, 9), (1, 8), (2, 7), (3, 6)),
    {"Train loss": (4, (0, 0.945678), (3, 0.645678))},
)
style(
    "coqui",
    "cq.log",
    "\n > EPOCH: 0/1000\n --> /out/run\n\n > TRAINING (2022-01-01 10:00:00) \n"
    + "".join(
        f"\n   --> STEP: {n * 25 - 1}/405 -- GLOBAL_STEP: {n * 25}\n     | > loss: {5 - n}.31234  ({5 - n}.40000)\n     | > decoder_loss: 1.{n}  (1.3)\n     | > current_lr: 0.00010 \n     | > step_time: 0.5  (0.4)\n"
        for n in (1, 2, 3)
    ),
    {
        "loss": (3, (25, 4.31234), (75, 2.31234)),
        "decoder_loss": (3, (25, 1.1), (75, 1.3)),
        "current_lr": (3, (25, 0.0001), (75, 0.0001)),
    },
)
style(
    "wenet",
    "wn.log",
    "".join(
        f"2021-01-01 10:00:0{n},123 DEBUG TRAIN Batch {e}/{b} loss {99 - n}.4 loss_att 100.1 loss_ctc 150.2 lr 0.00001{n} rank 0\n"
        for n, (e, b) in enumerate([(0, 0), (0, 100), (0, 200), (1, 0)])
    )
    + "2021-01-01 10:10:00,123 INFO Epoch 0 CV info cv_loss 12.345\n",
    {"loss": (4, (ANY, 99.4), (ANY, 96.4)), "cv_loss": (1, (0, 12.345), (0, 12.345))},
)
style(
    "speechbrain",
    "train_log.txt",
    rows(
        "epoch: {0}, lr: 1.00e-03 - train loss: 2.{1}0 - valid loss: 1.{1}5, valid CER: 10.1{0}, valid WER: 30.2",
        (1, 9),
        (2, 8),
        (3, 7),
    ),
    {
        "train loss": (3, (1, 2.9), (3, 2.7)),
        "valid loss": (3, (1, 1.95), (3, 1.75)),
        "valid WER": (3, (1, 30.2), (3, 30.2)),
    },
)
style(
    "icefall",
    "if.log",
    "".join(
        f"2022-01-01 10:00:0{n},123 INFO [train.py:901] (0/8) Epoch {e}, batch {b}, loss[loss=0.{9 - n}5, simple_loss=0.5, pruned_loss=6.9, over 1234.00 frames. ], tot_loss[loss=1.{9 - n}, simple_loss=0.6, pruned_loss=6.8, over 12345.00 frames. ], batch size: 70, lr: 3.00e-03\n"
        for n, (e, b) in enumerate([(1, 0), (1, 50), (1, 100), (2, 0)])
    )
    + "2022-01-01 10:10:00,123 INFO [train.py:935] (0/8) Epoch 1, validation: loss=0.5, simple_loss=0.4, pruned_loss=3.1, over 123456.00 frames. \n",
    {"loss": (4, (ANY, 0.95), (ANY, 0.65)), "tot_loss/loss": (4, (ANY, 1.9), (ANY, 1.6))},
)
style(
    "wav2letter",
    "w2l.log",
    rows(
        "epoch:        {0} | nupdates:         {0}000 | lr: 0.400000 | lrcriterion: 0.000000 | runtime: 00:01:00 | bch(ms): 123.45 | loss:   {1}.12345 | train-TER: 80.2{0} | dev-loss:  25.1{0} | dev-WER: 90.1 | avg-isz: 1234",
        (1, 30),
        (2, 28),
        (3, 26),
    ),
    {"loss": (3, (ANY, 30.12345), (ANY, 26.12345)), "dev-loss": (3, (ANY, 25.11), (ANY, 25.13))},
)
style(
    "allennlp metrics",
    {
        f"out/metrics_epoch_{e}.json": json.dumps(
            {
                "best_epoch": e,
                "peak_worker_0_memory_MB": 123.4,
                "training_duration": f"0:00:1{e}",
                "training_start_epoch": 0,
                "training_epochs": e,
                "epoch": e,
                "training_accuracy": 0.8 + e / 100,
                "training_loss": 0.5 - e / 10,
                "validation_accuracy": 0.7 + e / 100,
                "validation_loss": 0.6 - e / 10,
            }
        )
        for e in range(3)
    },
    {"training_loss": (3, (0, 0.5), (2, 0.3)), "validation_accuracy": (3, (0, 0.70), (2, 0.72))},
    n_runs=1,
)
style(
    "tf estimator eval",
    "tfe.log",
    "".join(
        f"INFO:tensorflow:loss = {3 - n / 100}, step = {n} (1.234 sec)\nINFO:tensorflow:global_step/sec: 81.{n // 100}\nI0101 10:00:00.123456 140 basic_session_run_hooks.py:260] loss = {3 - n / 100}, step = {n} (1.234 sec)\n"
        for n in (0, 100, 200)
    )
    + "INFO:tensorflow:Saving dict for global step 200: accuracy = 0.9123, global_step = 200, loss = 0.212\nINFO:tensorflow:Loss for final step: 0.5.\n",
    {"loss": (3, (0, 3.0), (200, 1.0)), "eval/accuracy": (1, (200, 0.9123), (200, 0.9123))},
)
style(
    "tf od",
    "tfod.log",
    "".join(
        f"INFO:tensorflow:Step {n}00 per-step time 0.512s\nINFO:tensorflow:{{'Loss/classification_loss': 0.{9 - n}15,\n 'Loss/localization_loss': 0.3{n},\n 'Loss/total_loss': 1.{9 - n},\n 'learning_rate': 0.0{n}}}\n"
        for n in (1, 2, 3)
    ),
    {
        "Loss/total_loss": (3, (100, 1.8), (300, 1.6)),
        "Loss/classification_loss": (3, (100, 0.815), (300, 0.615)),
        "learning_rate": (3, (100, 0.01), (300, 0.03)),
    },
)
style(
    "slim",
    "slim.log",
    rows("INFO:tensorflow:global step {0}0: loss = {1}.5123 (0.312 sec/step)", (1, 9), (2, 8), (3, 7)),
    {"loss": (3, (10, 9.5123), (30, 7.5123))},
)
style(
    "darts",
    "darts.log",
    "".join(
        f"01/01 10:00:0{e} AM epoch {e} lr 2.500000e-02\n"
        + "".join(
            f"01/01 10:00:1{b} AM train {b * 50:03d} {2 - b / 10:.6e} {10 + b}.500000 50.100000\n" for b in (0, 1, 2)
        )
        + f"01/01 10:00:20 AM train_acc 4{e}.600000\n01/01 10:00:25 AM valid 000 1.5e+00 50.1 80.2\n01/01 10:00:30 AM valid_acc 5{e}.200000\n"
        for e in (0, 1, 2)
    ),
    {"train_acc": (3, (0, 40.6), (2, 42.6)), "valid_acc": (3, (0, 50.2), (2, 52.2)), "lr": (3, (0, 0.025), (2, 0.025))},
)
style(
    "weiai",
    "w.log",
    "".join(
        "".join(
            f"Training Epoch: {e} [{b * 128}/512]\tLoss: {4 - e - b / 10:.4f}\tLR: 0.10{e}000\n" for b in (1, 2, 3, 4)
        )
        + f"epoch {e} training time consumed: 12.34s\nEvaluating Network.....\nTest set: Epoch: {e}, Average loss: 0.030{e}, Accuracy: 0.1{e}34, Time consumed:4.20s\n\n"
        for e in (1, 2, 3)
    ),
    {
        "Loss": (12, (128, 2.9), (1536, 0.6)),
        "Accuracy": (3, (1, 0.1134), (3, 0.1334)),
        "Average loss": (3, (1, 0.0301), (3, 0.0303)),
    },
)
style(
    "kuangliu",
    "ku.log",
    "".join(
        f"\nEpoch: {e}\n"
        + "".join(
            f" [{'=' * n}>.........................]  Step: 12{n}ms | Tot: 1s2ms | Loss: 2.{9 - e}{n} | Acc: 1{e}.{n}00% ({12 * n}/{128 * n})"
            + "\x08" * 40
            + f" {n}/4 \r"
            for n in (1, 2, 3, 4)
        )
        + "\n"
        for e in (0, 1)
    ),
    {"Loss": (8, (0, 2.91), (1, 2.84)), "Acc": (8, (0, 10.1), (1, 11.4))},
)
style(
    "word lm",
    "wl.log",
    "".join(
        "".join(
            f"| epoch   {e} |   {b}00/ 2983 batches | lr 20.00 | ms/batch 12.34 | loss  {8 - e - b / 10:.2f} | ppl  20{b}8.12\n"
            for b in (2, 4, 6)
        )
        + f"-----------------------------------------------------------------------------------------\n| end of epoch   {e} | time: 40.12s | valid loss  5.{e} | valid ppl   27{e}.12\n-----------------------------------------------------------------------------------------\n"
        for e in (1, 2, 3)
    )
    + "=========================================================================================\n| End of training | test loss  4.92 | test ppl   134.10\n",
    {
        "loss": (9, (ANY, 6.8), (ANY, 4.4)),
        "valid loss": (3, (1, 5.1), (3, 5.3)),
        "valid ppl": (3, (1, 271.12), (3, 273.12)),
        "test ppl": (1, (ANY, 134.1), (ANY, 134.1)),
    },
)
style(
    "dcgan",
    "dc.log",
    "".join(
        f"[{e}/25][{b}0/1583]\tLoss_D: 1.{b}\tLoss_G: 3.{e}\tD(x): 0.5{b}\tD(G(z)): 0.2{b} / 0.1{b}\n"
        for e in (0, 1)
        for b in (0, 1, 2)
    ),
    {"Loss_D": (6, (ANY, 1.0), (ANY, 1.2)), "D(x)": (6, (ANY, 0.50), (ANY, 0.52))},
)
style(
    "pytorch-gan",
    "pg.log",
    "".join(
        f"[Epoch {e}/200] [Batch {b}/938] [D loss: 0.69{b}] [G loss: 0.70{e}]\n" for e in (0, 1) for b in (0, 1, 2)
    ),
    {"D loss": (6, (0, 0.690), (ANY, 0.692)), "G loss": (6, (0, 0.700), (ANY, 0.701))},
)
style(
    "vae",
    "vae.log",
    "".join(
        "".join(f"Train Epoch: {e} [{b}280/60000 ({b}%)]\tLoss: {550 - e * 10 - b}.125\n" for b in (0, 1, 2))
        + f"====> Epoch: {e} Average loss: {165 - e}.1234\n====> Test set loss: {127 - e}.1234\n"
        for e in (1, 2, 3)
    ),
    {
        "Loss": (9, (ANY, 540.125), (ANY, 518.125)),
        "Average loss": (3, (1, 164.1234), (3, 162.1234)),
        "Test set loss": (3, (ANY, 126.1234), (ANY, 124.1234)),
    },
)
style(
    "reinforce",
    "re.log",
    rows("Episode {0}0\tLast reward: {1}6.00\tAverage reward: 14.3{0}", (1, 1), (2, 2), (3, 3)),
    {"Last reward": (3, (10, 16.0), (30, 36.0)), "Average reward": (3, (10, 14.31), (30, 14.33))},
)
style(
    "pyg",
    "pyg.log",
    rows("Epoch: {0:03d}, Loss: 1.{1}, Train: 0.9{0}, Val: 0.7{0}, Test: 0.6{0}", (1, 9), (2, 8), (3, 7), (4, 6)),
    {
        "Loss": (4, (1, 1.9), (4, 1.6)),
        "Train": (4, (1, 0.91), (4, 0.94)),
        "Val": (4, (1, 0.71), (4, 0.74)),
        "Test": (4, (1, 0.61), (4, 0.64)),
    },
)
style(
    "ogb",
    "ogb.log",
    "".join(
        f"Run: 0{r}, Epoch: {e:02d}, Loss: {9 - e}.{r}, Train: 5{e}.12%, Valid: 4{e}.1%, Test: 3{e}.1%\n"
        for r in (1, 2)
        for e in (1, 2, 3)
    ),
    {"Loss": (6, (1, 8.1), (3, 6.2)), "Valid": (6, (1, 41.1), (3, 43.1))},
)
style(
    "dgl",
    "dgl.log",
    rows("Epoch {0:05d} | Time(s) 0.02{0} | Loss 1.9{0} | Accuracy 0.3{0} | ETputs(KTEPS) 12.1", (0,), (1,), (2,)),
    {"Loss": (3, (0, 1.90), (2, 1.92)), "Accuracy": (3, (0, 0.30), (2, 0.32))},
)
style(
    "recbole",
    "rb.log",
    "".join(
        f"01 Jan 10:0{e}    INFO  epoch {e} training [time: 1.23s, train loss: 12.{9 - e}]\n01 Jan 10:0{e}    INFO  epoch {e} evaluating [time: 0.12s, valid_score: 0.12{e}]\n01 Jan 10:0{e}    INFO  valid result: \nrecall@10 : 0.1{e}    mrr@10 : 0.05{e}    ndcg@10 : 0.07\n"
        for e in (0, 1, 2)
    ),
    {
        "train loss": (3, (0, 12.9), (2, 12.7)),
        "valid_score": (3, (0, 0.120), (2, 0.122)),
        "recall@10": (3, (0, 0.10), (2, 0.12)),
    },
)
style(
    "monai",
    "mo.log",
    "".join(
        f"----------\nepoch {e}/10\n"
        + "".join(f"{n}/3, train_loss: 0.{e}{n}\n" for n in (1, 2, 3))
        + f"epoch {e} average loss: 0.5{e}\nsaved new best metric model\ncurrent epoch: {e} current mean dice: 0.6{e}\nbest mean dice: 0.6{e} at epoch: {e}\n"
        for e in (1, 2, 3)
    ),
    {"average loss": (3, (1, 0.51), (3, 0.53)), "current mean dice": (3, (1, 0.61), (3, 0.63))},
)
style(
    "nnunet2",
    "training_log_2023_1_1.txt",
    "".join(
        f"\n2023-01-01 10:0{e}:00.123456: \n2023-01-01 10:0{e}:00.123456: Epoch {e}\n2023-01-01 10:0{e}:00.123456: Current learning rate: 0.0{9 - e}\n2023-01-01 10:0{e}:10.123456: train_loss -0.{e}2\n2023-01-01 10:0{e}:10.123456: val_loss -0.{e}3\n2023-01-01 10:0{e}:10.123456: Pseudo dice [0.5{e}, 0.6]\n2023-01-01 10:0{e}:10.123456: Epoch time: 100.1{e} s\n2023-01-01 10:0{e}:10.123456: Yayy! New best EMA pseudo Dice: 0.5{e}\n"
        for e in range(4)
    )
    + "2023-01-01 10:09:00.123456: Training done.\n",
    {
        "train_loss": (4, (0, -0.02), (3, -0.32)),
        "val_loss": (4, (0, -0.03), (3, -0.33)),
        "Current learning rate": (4, (0, 0.09), (3, 0.06)),
    },
    status="finished",
)
style(
    "nnunet1",
    "nn1.txt",
    "".join(
        f"\nepoch:  {e}\n2020-01-01 10:0{e}:00.123456: train loss : -0.{e}234\n2020-01-01 10:0{e}:00.123456: validation loss: -0.{e}334\n2020-01-01 10:0{e}:00.123456: Average global foreground Dice: [0.5, 0.6]\n2020-01-01 10:0{e}:00.123456: lr: 0.00{9 - e}\n2020-01-01 10:0{e}:00.123456: This epoch took 100.12345 s\n"
        for e in range(4)
    ),
    {
        "train loss": (4, (0, -0.0234), (3, -0.3234)),
        "validation loss": (4, (0, -0.0334), (3, -0.3334)),
        "lr": (4, (0, 0.009), (3, 0.006)),
    },
)
style(
    "3dgs",
    "gs.log",
    "".join(
        f"\rTraining progress:  {n * 10}%|█    | {n * 3000}/30000 [00:10<01:00, 200.12it/s, Loss=0.03{9 - n}2345]"
        for n in (1, 2, 3)
    )
    + "\n[ITER 7000] Evaluating train: L1 0.0312345 PSNR 25.612345 [01/01 10:00:00]\n",
    {"Loss": (3, (3000, 0.0382345), (9000, 0.0362345)), "PSNR": (1, (7000, 25.612345), (7000, 25.612345))},
)
style(
    "nerf",
    "nerf.log",
    "".join(f"[TRAIN] Iter: {n}00 Loss: 0.0{9 - n}5 PSNR: 1{n}.123\n" for n in (1, 2, 3)),
    {"Loss": (3, (100, 0.085), (300, 0.065)), "PSNR": (3, (100, 11.123), (300, 13.123))},
)
style(
    "smp",
    "smp.log",
    "".join(
        f"\nEpoch: {e}\n"
        + "".join(
            f"\rtrain: {n * 25}%|██| {n}/4 [00:0{n}<00:01,  2.01it/s, dice_loss - 0.{9 - e}{n}, iou_score - 0.{e}{n}]"
            for n in (1, 2, 3, 4)
        )
        + "\n"
        + "".join(
            f"\rvalid: {n * 50}%|██| {n}/2 [00:0{n}<00:01,  2.01it/s, dice_loss - 0.5{n}, iou_score - 0.4{n}]"
            for n in (1, 2)
        )
        + "\n"
        for e in (0, 1)
    ),
    {"dice_loss": (8, (ANY, 0.91), (ANY, 0.84))},
)
style(
    "ignite",
    "ig.log",
    "".join(
        f"2020-01-01 10:00:00,123 ignite.engine INFO: Training Results - Epoch: {e}  Avg accuracy: 0.9{e} Avg loss: 0.2{e}\nValidation Results - Epoch: {e}  Avg accuracy: 0.8{e} Avg loss: 0.3{e}\n"
        for e in (1, 2, 3)
    ),
    {"Avg accuracy": (3, (1, 0.91), (3, 0.93))},
)
style(
    "catalyst",
    "cat.log",
    "".join(
        f"{e}/10 * Epoch (train): accuracy01: 0.5{e} | loss: 0.9{e} | lr: 0.001 | momentum: 0.9\n{e}/10 * Epoch (valid): accuracy01: 0.6{e} | loss: 0.8{e} | lr: 0.001 | momentum: 0.9\n* Epoch ({e}/10) \n"
        for e in (1, 2, 3)
    ),
    {"loss": (3, (1, 0.91), (3, 0.93))},
)
style(
    "catalyst2",
    "cat2.log",
    "".join(
        f"train ({e}/10) accuracy01: 0.5{e} | loss: 0.9{e} | lr: 0.001\nvalid ({e}/10) accuracy01: 0.6{e} | loss: 0.8{e} | lr: 0.001\n* Epoch ({e}/10) \n"
        for e in (1, 2, 3)
    ),
    {"loss": (3, (1, 0.91), (3, 0.93)), "val/loss": (3, (1, 0.81), (3, 0.83))},
)
style(
    "tianshou",
    "ts.log",
    "".join(
        f"Epoch #{e}: 1001it [00:10, 100.12it/s, env_step={1000 * e}, len=200, loss=0.{e}, n/ep=0, n/st=10, rew=18{e}.00]\nEpoch #{e}: test_reward: 19{e}.000000 ± 2.100000, best_reward: 195.000000 ± 2.0 in #{e}\n"
        for e in (1, 2, 3)
    ),
    {"test_reward": (3, (1, 191.0), (3, 193.0)), "rew": (3, (ANY, 181.0), (ANY, 183.0))},
)
style(
    "mlagents",
    "mla.log",
    "".join(
        f"[INFO] 3DBall. Step: {12000 * n}. Time Elapsed: 20.{n} s. Mean Reward: 1.{n}3. Std of Reward: 0.7{n}. Training.\n"
        for n in (1, 2, 3)
    ),
    {"Mean Reward": (3, (12000, 1.13), (36000, 1.33)), "Std of Reward": (3, (12000, 0.71), (36000, 0.73))},
)
style(
    "mlx",
    "mlx.log",
    "Loading pretrained model\nTrainable parameters: 0.024% (1.704M/7241.732M)\nStarting training..., iters: 600\nIter 1: Val loss 2.874, Val took 8.386s\n"
    + "".join(
        f"Iter {n}0: Train loss {3 - n / 10:.3f}, Learning Rate 1.000e-05, It/sec 0.512, Tokens/sec 234.1, Trained Tokens {n}234, Peak mem 12.3 GB\n"
        for n in (1, 2, 3, 4)
    ),
    {
        "Train loss": (4, (10, 2.9), (40, 2.6)),
        "Val loss": (1, (1, 2.874), (1, 2.874)),
        "Tokens/sec": (4, (10, 234.1), (40, 234.1)),
    },
)
style(
    "nanotron",
    "nt.log",
    "".join(
        f"07/30/2024 10:00:0{n} [INFO|DP=0|PP=0|TP=0|ip-26-0-161-103]: iteration: {n} / 100 | consumed_tokens: {n}.05M | elapsed_time_per_iteration_ms: 6.9K | tokens_per_sec: 152K | tokens_per_sec_per_gpu: 19K | global_batch_size: 1.02K | lm_loss: {11 - n}.9 | lr: 1e-05 | model_tflops_per_gpu: 40.1 | hardware_tflops_per_gpu: 40.1 | grad_norm: 1.2{n}\n"
        for n in (1, 2, 3)
    ),
    {"lm_loss": (3, (1, 10.9), (3, 8.9)), "grad_norm": (3, (1, 1.21), (3, 1.23)), "lr": (3, (1, 1e-5), (3, 1e-5))},
)
style(
    "picotron",
    "pt.log",
    rows(
        "[rank 0] Step: {0:<5d} | Loss: {1}.5000 | Global batch size:   32.8K | Tokens/s:  123.4K | Tokens/s/GPU:   15.4K | Tokens:  32.8K | MFU: 10.12% | Memory usage:  12.34GB",
        (1, 9),
        (2, 8),
        (3, 7),
    ),
    {"Loss": (3, (1, 9.5), (3, 7.5)), "MFU": (3, (1, 10.12), (3, 10.12))},
)
style(
    "verl",
    "verl.log",
    "".join(
        f"(TaskRunner pid=1234) step:{n} - global_seqlen/min:100.000 - actor/entropy:0.5{n} - actor/pg_loss:-0.01{n} - critic/score/mean:0.1{n} - perf/throughput:123.4 - timing_s/step:12.3\n"
        for n in (1, 2, 3)
    ),
    {
        "actor/entropy": (3, (1, 0.51), (3, 0.53)),
        "critic/score/mean": (3, (1, 0.11), (3, 0.13)),
        "actor/pg_loss": (3, (1, -0.011), (3, -0.013)),
    },
)
style(
    "char-rnn",
    "cr.log",
    rows("{0}/1000 (epoch 0.{0}), train_loss = {1}.234, time/batch = 0.123", (1, 4), (2, 3), (3, 2)),
    {"train_loss": (3, (ANY, 4.234), (ANY, 2.234))},
)
style(
    "frcnn",
    "fr.log",
    "".join(
        f"iter: {20 * n} / 70000, total loss: {3 - n * 0.5:.6f}\n >>> rpn_loss_cls: 0.3{n}\n >>> rpn_loss_box: 0.1\n >>> loss_cls: 0.5\n >>> lr: 0.001000\nspeed: 0.312s / iter\n"
        for n in (1, 2, 3)
    ),
    {
        "total loss": (3, (20, 2.5), (60, 1.5)),
        "rpn_loss_cls": (3, (20, 0.31), (60, 0.33)),
        "lr": (3, (20, 0.001), (60, 0.001)),
    },
)
style(
    "maskrcnn",
    "mr.log",
    "".join(
        f"2019-01-01 10:00:0{n},123 maskrcnn_benchmark.trainer INFO: eta: 1:00:00  iter: {20 * n}  loss: {3 - n * 0.5:.4f} (2.1234)  loss_classifier: 0.5123 (0.6)  time: 0.5 (0.6)  data: 0.01 (0.02)  lr: 0.002500  max mem: 4567\n"
        for n in (1, 2, 3)
    ),
    {
        "loss": (3, (20, 2.5), (60, 1.5)),
        "loss_classifier": (3, (20, 0.5123), (60, 0.5123)),
        "lr": (3, (20, 0.0025), (60, 0.0025)),
    },
)
style(
    "detectron1",
    "d1.log",
    "".join(
        f'json_stats: {{"accuracy_cls": "0.9{n}", "eta": "1:00:00", "iter": {20 * n}, "loss": "{3 - n * 0.5:.6f}", "lr": "0.001000", "mb_qsize": 64, "mem": 4567, "time": "0.312"}}\n'
        for n in (1, 2, 3)
    ),
    {"loss": (3, (20, 2.5), (60, 1.5)), "accuracy_cls": (3, (20, 0.91), (60, 0.93))},
)
style(
    "ng",
    "ng.log",
    "".join(f"Cost after iteration {n}00: {0.7 - n / 10:.6f}\n" for n in range(4)),
    {"Cost": (4, (0, 0.7), (300, 0.4))},
)
style(
    "w2v",
    "w2v.log",
    "".join(f"Average loss at step  {n}000 :  {9 - n}.123456\n" for n in range(1, 4)),
    {"Average loss": (3, (1000, 8.123456), (3000, 6.123456))},
)
style(
    "cifar tut",
    "ct.log",
    "".join(f"[{e}, {b:5d}] loss: {3 - e / 2 - b / 10000:.3f}\n" for e in (1, 2) for b in (2000, 4000, 12000))
    + "Finished Training\n",
    {"loss": (6, (2000, 2.3), (24000, 0.8))},
    status="finished",
)
style(
    "pt quickstart",
    "pq.log",
    "".join(
        f"Epoch {e}\n-------------------------------\n"
        + "".join(f"loss: {3 - e / 2 - b / 100:.6f}  [{64 + 6400 * b:>5d}/60000]\n" for b in (0, 1, 2))
        + f"Test Error: \n Accuracy: 4{e}.1%, Avg loss: 2.1{e}3456 \n\n"
        for e in (1, 2, 3)
    )
    + "Done!\n",
    {
        "loss": (9, (64, 2.5), (ANY, 1.48)),
        "Accuracy": (3, (1, 41.1), (3, 43.1)),
        "Avg loss": (3, (1, 2.113456), (3, 2.133456)),
    },
    status="finished",
)
style(
    "transformer-xl",
    "tx.log",
    "".join(
        f"| epoch   1 step      {n}00 |    {n}00 batches | lr 0.00025 | ms/batch 331.12 | loss  {8 - n}.63 | ppl  20{n}3.212\n"
        for n in (2, 4, 6)
    )
    + "----------------------------------------------------------------------------------------------------\n| Eval   1 at step      600 | time: 123.45s | valid loss  4.55 | valid ppl    94.632\n----------------------------------------------------------------------------------------------------\n",
    {
        "loss": (3, (200, 6.63), (600, 2.63)),
        "valid ppl": (1, (600, 94.632), (600, 94.632)),
        "ppl": (3, (200, 2023.212), (600, 2063.212)),
    },
)
style(
    "matlab",
    "ml.log",
    "|======================================================================================|\n|  Epoch  |  Iteration  |  Time Elapsed  |  Mini-batch  |  Mini-batch  |  Base Learning  |\n|         |             |   (hh:mm:ss)   |   Accuracy   |     Loss     |      Rate       |\n|======================================================================================|\n"
    + "".join(
        f"|       1 |          {n:2d} |       00:00:0{n % 9} |       {n + 5}.47% |       {3 - n / 10:.4f} |          0.0100 |\n"
        for n in (1, 10, 20)
    )
    + "|======================================================================================|\n",
    {"Mini-batch Loss": (3, (1, 2.9), (20, 1.0)), "Mini-batch Accuracy": (3, (1, 6.47), (20, 25.47))},
)
style(
    "notebook table",
    "nb.txt",
    "[60/60 05:00, Epoch 1/1]\nStep\tTraining Loss\n" + "".join(f"{n}\t{2 - n / 100:.6f}\n" for n in (10, 20, 30)),
    {"Training Loss": (3, (10, 1.9), (30, 1.7))},
)
style(
    "notebook table2",
    "nb2.txt",
    "Epoch\tTraining Loss\tValidation Loss\tAccuracy\n1\tNo log\t0.551234\t0.801\n2\t0.5123\t0.4512\t0.851\n3\t0.3123\t0.4312\t0.861\n",
    {
        "Validation Loss": (3, (1, 0.551234), (3, 0.4312)),
        "Training Loss": (2, (2, 0.5123), (3, 0.3123)),
        "Accuracy": (3, (1, 0.801), (3, 0.861)),
    },
)
style(
    "markdown table",
    "results.md.txt",
    "| Epoch | Train Loss | Val Loss |\n|-------|-----------:|---------:|\n| 1 | 0.9 | 0.8 |\n| 2 | 0.7 | 0.6 |\n| 3 | 0.5 | 0.5 |\n",
    {"Train Loss": (3, (1, 0.9), (3, 0.5))},
)
style(
    "rich table",
    "rt.log",
    "┏━━━━━━━┳━━━━━━━┳━━━━━━┓\n┃ Epoch ┃ Loss  ┃ Acc  ┃\n┡━━━━━━━╇━━━━━━━╇━━━━━━┩\n│ 1     │ 0.91  │ 0.5  │\n│ 2     │ 0.71  │ 0.6  │\n│ 3     │ 0.51  │ 0.7  │\n└───────┴───────┴──────┘\n",
    {"Loss": (3, (1, 0.91), (3, 0.51))},
)
style(
    "train/val on a line",
    "tv.log",
    rows("Epoch {0}/10 | Train: loss 0.{1} acc 0.5{0} | Val: loss 0.4{1} acc 0.6{0}", (1, 9), (2, 8), (3, 7)),
    {
        "train/loss": (3, (1, 0.9), (3, 0.7)),
        "val/loss": (3, (1, 0.49), (3, 0.47)),
        "val/acc": (3, (1, 0.61), (3, 0.63)),
    },
)
style(
    "train/val collide",
    "tv2.log",
    rows("Epoch {0}: Train Loss: 0.{1}, Acc: 0.5{0} - Val Loss: 0.4{1}, Acc: 0.6{0}", (1, 9), (2, 8), (3, 7)),
    {
        "Train Loss": (3, (1, 0.9), (3, 0.7)),
        "Val Loss": (3, (1, 0.49), (3, 0.47)),
        "train/Acc": (3, (1, 0.51), (3, 0.53)),
        "val/Acc": (3, (1, 0.61), (3, 0.63)),
    },
)
style(
    "train lr at end",
    "tv3.log",
    rows("Epoch {0}: train loss 0.{1} val loss 0.4{1} lr 1.0e-0{0}", (1, 9), (2, 8), (3, 7)),
    {"train loss": (3, (1, 0.9), (3, 0.7)), "val loss": (3, (1, 0.49), (3, 0.47)), "lr": (3, (1, 0.1), (3, 0.001))},
)
style(
    "blocks val",
    "bv.log",
    "".join(
        f"===== Epoch {e} =====\nTraining:\n  loss: 0.{9 - e}\n  accuracy: 0.5{e}\nValidation:\n  loss: 0.4{9 - e}\n  accuracy: 0.6{e}\n"
        for e in (1, 2, 3)
    ),
    {"loss": (3, (1, 0.8), (3, 0.6)), "val/loss": (3, (1, 0.48), (3, 0.46)), "val/accuracy": (3, (1, 0.61), (3, 0.63))},
)
style(
    "tqdm epoch + summary",
    "te.log",
    "".join(
        "".join(
            f"\rEpoch {e}/3 [Train]: {n * 50}%|█████     | {n}/2 [00:01<00:01, 1.0it/s, loss=0.{9 - n}{e}]"
            for n in (1, 2)
        )
        + f"\nEpoch {e}/3 - Train Loss: 0.7{e}, Val Loss: 0.6{e}, Val Acc: 8{e}.12%\n"
        for e in (1, 2, 3)
    ),
    {
        "loss": (6, (1, 0.81), (6, 0.73)),
        "Train Loss": (3, (1, 0.71), (3, 0.73)),
        "Val Acc": (3, (1, 81.12), (3, 83.12)),
    },
)
style(
    "gpt2 simple",
    "gs.log",
    rows("[{0}0 | 12.34] loss={1}.21 avg={1}.33", (1, 3), (2, 2), (3, 1)),
    {"loss": (3, (10, 3.21), (30, 1.21)), "avg": (3, (10, 3.33), (30, 1.33))},
)
style(
    "optuna",
    "op.log",
    "".join(
        f"[I 2023-01-01 10:00:0{n},123] Trial {n} finished with value: 0.{9 - n}23 and parameters: {{'lr': 0.01, 'n': 3}}. Best is trial {n} with value: 0.{9 - n}23.\n"
        for n in range(4)
    ),
    {"value": (4, (0, 0.923), (3, 0.623))},
)
style(
    "fairseq json valid",
    "fj.log",
    "".join(
        f'2021-01-01 00:00:0{n} | INFO | train_inner | {{"epoch": 1, "update": 0.0{n}, "loss": "{9 - n}.6", "num_updates": "{n}00", "lr": "1e-05"}}\n'
        for n in (1, 2, 3)
    )
    + '2021-01-01 00:01:00 | INFO | train | {"epoch": 1, "train_loss": "7.1", "train_num_updates": "300"}\n2021-01-01 00:01:00 | INFO | valid | {"epoch": 1, "valid_loss": "6.1", "valid_ppl": "68.1", "valid_num_updates": "300"}\n',
    {
        "loss": (3, (100, 8.6), (300, 6.6)),
        "valid_loss": (1, (300, 6.1), (300, 6.1)),
        "train_loss": (1, (300, 7.1), (300, 7.1)),
    },
)
style(
    "julia",
    "jl.log",
    "".join(f"[ Info: Epoch {e}: loss = 0.{9 - e}, acc = 0.5{e}\n" for e in (1, 2, 3)),
    {"loss": (3, (1, 0.8), (3, 0.6))},
)
style(
    "julia kv",
    "jl2.log",
    "".join(f"┌ Info: Epoch {e}\n│   train_loss = 0.{9 - e}\n└   test_acc = 0.5{e}\n" for e in (1, 2, 3)),
    {"train_loss": (3, (1, 0.8), (3, 0.6)), "test_acc": (3, (1, 0.51), (3, 0.53))},
)
style(
    "llama.cpp finetune",
    "lc.log",
    rows(
        "train_opt_callback: iter=    {0}0 sample=11/160 sched=0.100000 loss={1}.123456 dt=00:00:05 eta=00:10:00 |->",
        (1, 9),
        (2, 8),
        (3, 7),
    ),
    {"loss": (3, (10, 9.123456), (30, 7.123456))},
)
style(
    "csv logger keras",
    "training.log",
    "epoch,accuracy,loss,val_accuracy,val_loss\n0,0.9,0.3,0.95,0.2\n1,0.95,0.2,0.96,0.15\n2,0.97,0.1,0.97,0.12\n",
    {"val_loss": (3, (0, 0.2), (2, 0.12))},
)
style(
    "openai ft csv",
    "results.csv",
    "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n1,1.9,0.5,,\n2,1.8,0.6,1.7,0.5\n3,1.7,0.6,,\n4,1.6,0.65,1.6,0.55\n",
    {"train_loss": (4, (1, 1.9), (4, 1.6)), "valid_loss": (2, (2, 1.7), (4, 1.6))},
)
style(
    "semicolon csv",
    "log.csv",
    "epoch;train_loss;val_loss\n1;0.9;0.8\n2;0.8;0.7\n3;0.7;0.65\n",
    {"train_loss": (3, (1, 0.9), (3, 0.7))},
)
style(
    "decimal comma csv",
    "log.csv",
    "epoch;train_loss;val_loss\n1;0,91;0,82\n2;0,83;0,74\n3;0,75;0,65\n",
    {"train_loss": (3, (1, 0.91), (3, 0.75))},
)
style(
    "index csv",
    "history.csv",
    ",loss,accuracy,val_loss\n0,0.9,0.5,0.8\n1,0.8,0.6,0.7\n2,0.7,0.7,0.6\n",
    {"loss": (3, (0, 0.9), (2, 0.7))},
)
style(
    "long csv",
    "metrics.csv",
    "step,metric,value\n1,loss,0.9\n1,acc,0.5\n2,loss,0.8\n2,acc,0.6\n3,loss,0.7\n3,acc,0.7\n",
    {"loss": (3, (1, 0.9), (3, 0.7)), "acc": (3, (1, 0.5), (3, 0.7))},
)
style(
    "tb csv export",
    "run-train-tag-loss.csv",
    "Wall time,Step,Value\n1600000001.1,10,0.9\n1600000002.1,20,0.8\n1600000003.1,30,0.7\n",
    {"Value": (3, (10, 0.9), (30, 0.7))},
)
style(
    "wandb csv export",
    "wandb_export.csv",
    '"Step","run-a - val/loss","run-a - val/loss__MIN","run-a - val/loss__MAX"\n"0","0.9","0.9","0.9"\n"1","0.8","0.8","0.8"\n"2","0.7","0.7","0.7"\n',
    {"run-a - val/loss": (3, (0, 0.9), (2, 0.7))},
)
style(
    "keras history json",
    "history.json",
    json.dumps({"loss": [0.9, 0.8, 0.7], "val_loss": [0.8, 0.7, 0.6], "accuracy": [0.5, 0.6, 0.7]}),
    {"val_loss": (3, (ANY, 0.8), (ANY, 0.6))},
)
style(
    "list json",
    "log.json",
    json.dumps(
        [{"epoch": e, "train": {"loss": 0.9 - e / 10}, "val": {"loss": 0.8 - e / 10, "acc": 0.5}} for e in range(3)]
    ),
    {"train/loss": (3, (0, 0.9), (2, 0.7)), "val/loss": (3, (0, 0.8), (2, 0.6))},
)
style(
    "ndjson nested",
    "train.jsonl",
    "".join(
        json.dumps({"step": n * 10, "metrics": {"loss": 3 - n, "acc": 0.1 * n}, "time": 1700000000 + n}) + "\n"
        for n in (1, 2, 3)
    ),
    {"loss": (3, (10, 2), (30, 0))},
)
style(
    "jsonl metric name value",
    "m.jsonl",
    "".join(
        json.dumps({"name": nm, "value": v * n, "step": n}) + "\n"
        for n in (1, 2, 3)
        for nm, v in (("loss", 0.5), ("acc", 0.1))
    ),
    {"loss": (3, (1, 0.5), (3, 1.5)), "acc": (3, (1, 0.1), (3, 0.3))},
)
style(
    "two columns",
    "loss.txt",
    "".join(f"{n * 10} {0.9 - n / 100:.4f}\n" for n in range(1, 20)),
    {"loss": (19, (10, 0.89), (190, 0.71))},
)
style(
    "epoch tuple",
    "et.log",
    "".join(f"epoch=1, step={n}, {{'loss': 0.{9 - n}, 'acc': 0.{n}}}\n" for n in (1, 2, 3)),
    {"loss": (3, (1, 0.8), (3, 0.6))},
)
style(
    "tensor repr",
    "tr.log",
    "".join(f"Epoch {n} loss: tensor(0.{9 - n}123, device='cuda:0', grad_fn=<MseLossBackward0>)\n" for n in (1, 2, 3)),
    {"loss": (3, (1, 0.8123), (3, 0.6123))},
)
style(
    "np float",
    "np.log",
    "".join(f"{{'epoch': {n}, 'loss': np.float64(0.{9 - n}123), 'acc': array(0.5)}}\n" for n in (1, 2, 3)),
    {"loss": (3, (1, 0.8123), (3, 0.6123))},
)
style(
    "ordered",
    "od.log",
    "".join(f"Epoch {n}: OrderedDict([('loss', 0.{9 - n}), ('acc', 0.5)])\n" for n in (1, 2, 3)),
    {"loss": (3, (1, 0.8), (3, 0.6))},
)
style(
    "percent",
    "pc.log",
    "".join(
        f"epoch {n:3d}/100 | loss: 0.{9 - n}00 | train acc: 9{n}.5% | test acc: 8{n}.5% | 1.2s/epoch\n"
        for n in (1, 2, 3)
    ),
    {"train acc": (3, (1, 91.5), (3, 93.5)), "test acc": (3, (1, 81.5), (3, 83.5))},
)
style(
    "arrow",
    "ar.log",
    "".join(f"Epoch {n} => loss: 0.{9 - n} | mIoU: 0.{n}5\n" for n in (1, 2, 3)),
    {"mIoU": (3, (1, 0.15), (3, 0.35))},
)
style(
    "step brackets",
    "sb.log",
    "".join(f"[Step {n}00] loss=0.{9 - n} lr=1e-4\n" for n in (1, 2, 3)),
    {"loss": (3, (100, 0.8), (300, 0.6))},
)
style(
    "iter slash",
    "is.log",
    "".join(f"Iter[{n}/100] loss_G: 0.{9 - n}, loss_D: 0.5\n" for n in (1, 2, 3)),
    {"loss_G": (3, (1, 0.8), (3, 0.6))},
)
style(
    "utf16",
    "u16.log",
    "".join(f"epoch {n} loss: 0.{9 - n}\r\n" for n in (1, 2, 3)).encode("utf-16"),
    {"loss": (3, (1, 0.8), (3, 0.6))},
)
style(
    "nohup many bars",
    "nohup.out",
    "  0%|          | 0/3 [00:00<?, ?it/s]"
    + "".join(
        f"\r {33 * n}%|███       | {n}/3 [00:01<00:02,  1.0it/s]Epoch {n} loss 0.{9 - n} acc 0.{n}\n" for n in (1, 2, 3)
    ),
    {"loss": (3, (1, 0.8), (3, 0.6))},
)
style(
    "alphafold-ish",
    "af.log",
    "".join(
        f"Epoch 0:  {n}%|▏| {n}/100 [00:10<10:00, 1.0s/it, loss=5{n}.1, v_num=abc, train/loss=5{n}.1, train/lddt_ca=0.1{n}]\r"
        for n in (1, 2, 3)
    ),
    {"train/loss": (3, (1, 51.1), (3, 53.1))},
)
nothing(
    "pip",
    "pip.log",
    "Collecting torch==2.1.0\n  Downloading torch-2.1.0-cp311-none-linux_x86_64.whl (670.2 MB)\n     ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 670.2/670.2 MB 3.3 MB/s eta 0:00:00\nRequirement already satisfied: numpy>=1.17 in ./lib (1.26.0)\n"
    + "".join(
        f"Collecting pkg{n}=={n}.0\n  Downloading pkg{n}-{n}.0.tar.gz ({n}.2 kB)\n     |████████████████████████████████| {n} kB {n}.3 MB/s\n"
        for n in range(8)
    )
    + "Installing collected packages: a, b\nSuccessfully installed torch-2.1.0\n",
)
nothing(
    "gcc",
    "make.log",
    "".join(
        f"[ {n}%] Building CXX object src/CMakeFiles/x.dir/f{n}.cpp.o\n/src/f{n}.cpp:{n}:12: warning: unused variable 'loss' [-Wunused-variable]\n"
        for n in range(1, 20)
    )
    + "[100%] Linking CXX executable x\nmake[1]: *** [x] Error 1\n",
)
nothing(
    "nginx",
    "access.log",
    "".join(
        f'10.0.0.{n} - - [01/Jan/2023:10:00:{n:02d} +0000] "GET /step/{n}?x={n} HTTP/1.1" 200 {n * 123} "-" "curl/7.1" rt=0.0{n} uct="0.001"\n'
        for n in range(1, 30)
    ),
)
nothing(
    "json access",
    "access.jsonl",
    "".join(
        json.dumps(
            {
                "time": f"2023-01-01T10:00:{n:02d}Z",
                "status": 200,
                "latency_ms": n * 1.5,
                "path": "/a",
                "bytes": n * 100,
                "level": "info",
                "msg": "request",
            }
        )
        + "\n"
        for n in range(1, 30)
    ),
)
nothing(
    "pytest",
    "pytest.log",
    "============================= test session starts ==============================\nplatform linux -- Python 3.11\ncollected 30 items\n\n"
    + "".join(f"tests/test_a.py::test_step_{n}[loss=0.{n}] PASSED                 [ {n * 3}%]\n" for n in range(1, 30))
    + "============================== slowest durations ===============================\n"
    + "".join(f"0.{n}2s call     tests/test_a.py::test_{n}\n" for n in range(1, 9))
    + "============================== 30 passed in 12.3s ==============================\n",
)
nothing(
    "go test", "gotest.log", "".join(f"--- PASS: TestStep{n} (0.0{n}s)\nok  \tpkg/a{n}\t0.1{n}s\n" for n in range(1, 9))
)
nothing(
    "config",
    "cfg.txt",
    "seed: 1\nlr: 0.001\nepochs: 10\nbatch_size: 32\nmodel:\n  depth: 12\n  width: 64\nloss_weight: 0.5\nsteps: 100\n",
)
nothing(
    "dmesg",
    "dmesg.log",
    "".join(
        f"[{n * 1.234567:12.6f}] usb 1-{n}: new high-speed USB device number {n} using xhci_hcd\n[{n * 1.3:12.6f}] CPU{n}: Core temperature above threshold, cpu clock throttled (total events = {n * 10})\n"
        for n in range(1, 20)
    ),
)
nothing(
    "dataset csv",
    "iris.csv",
    "sepal_length,sepal_width,petal_length,species\n"
    + "".join(f"{5 + n / 10},{3 - n / 10},{1 + n / 10},setosa\n" for n in range(20)),
)
nothing(
    "dataset csv2",
    "house.csv",
    "id,price,rooms,score\n" + "".join(f"{n},{n * 1000},{n % 5},{n / 10}\n" for n in range(1, 40)),
)
nothing(
    "predictions csv",
    "predictions.csv",
    "id,label,pred,prob\n" + "".join(f"{n},{n % 2},{n % 2},{n / 50}\n" for n in range(1, 40)),
)
nothing(
    "timeseries csv",
    "sensor.csv",
    "timestamp,temperature,humidity\n"
    + "".join(f"{1600000000 + n * 60},{20 + n / 10},{50 - n / 10}\n" for n in range(1, 40)),
)
nothing(
    "notebook",
    "x.json",
    json.dumps(
        {
            "cells": [
                {"cell_type": "code", "execution_count": n, "metadata": {}, "outputs": [], "source": ["loss=1"]}
                for n in range(4)
            ],
            "metadata": {},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    ),
)
nothing(
    "coco",
    "instances.json",
    json.dumps(
        {
            "images": [{"id": n, "height": 480, "width": 640} for n in range(5)],
            "annotations": [
                {"id": n, "image_id": n, "bbox": [1, 2, 3, 4], "area": 100.0 + n, "score": 0.5} for n in range(5)
            ],
        }
    ),
)
nothing("package", "x.json", json.dumps({"name": "x", "version": "1.0.0", "dependencies": {"a": "1"}}))
nothing(
    "sql",
    "db.log",
    "".join(
        f"2023-01-01 10:00:{n:02d} UTC [123{n}] LOG:  duration: {n * 1.5} ms  statement: SELECT step FROM t WHERE id={n}\n2023-01-01 10:00:{n:02d} UTC [123] LOG:  checkpoint complete: wrote {n * 10} buffers (0.{n}%); write={n}.123 s, sync=0.004 s, total={n}.2 s\n"
        for n in range(1, 20)
    ),
)
nothing(
    "apt",
    "apt.log",
    "".join(
        f"Get:{n} http://deb.debian.org/debian bookworm/main amd64 pkg{n} amd64 1.{n}-1 [{n * 12} kB]\n"
        for n in range(1, 20)
    )
    + "Fetched 12.3 MB in 2s (6,123 kB/s)\n"
    + "".join(f"Progress: [ {n * 5}%]\n" for n in range(1, 20)),
)
nothing(
    "docker build",
    "docker.log",
    "".join(f"Step {n}/12 : RUN echo {n}\n ---> Running in abc{n}\n ---> {n}f00ba{n}\n" for n in range(1, 13))
    + "Successfully built abc\n",
)
nothing(
    "docker buildx",
    "buildx.log",
    "".join(
        f"#{n} [{n}/12] RUN pip install x=={n}\n#{n} {n}.123 Collecting a\n#{n} DONE {n}.5s\n" for n in range(1, 13)
    ),
)
nothing(
    "rsync",
    "rsync.log",
    "".join(
        f"    {n * 32768}  {n * 5}%    1.2{n}MB/s    0:00:0{n % 9}\rckpt{n}.pt\n    {n * 99999} 100%   12.3MB/s    0:00:01 (xfr#{n}, to-chk={30 - n}/40)\n"
        for n in range(1, 20)
    ),
)
nothing(
    "ping",
    "ping.log",
    "".join(f"64 bytes from 1.1.1.1: icmp_seq={n} ttl=57 time={10 + n / 10} ms\n" for n in range(1, 20))
    + "--- 1.1.1.1 ping statistics ---\n20 packets transmitted, 20 received, 0% packet loss, time 19027ms\nrtt min/avg/max/mdev = 9.1/10.2/12.3/0.9 ms\n",
)
nothing(
    "nvidia-smi",
    "smi.log",
    "".join(
        f"| N/A   3{n}C    P0    11{n}W / 400W |   123{n}MiB / 81559MiB |      9{n}%      Default |\n"
        for n in range(1, 9)
    ),
)
nothing(
    "stan",
    "stan.log",
    "".join(f"Chain 1: Iteration: {n * 100:4d} / 2000 [ {n * 5:2d}%]  (Warmup)\n" for n in range(1, 20)),
)
nothing(
    "k8s events",
    "k8s.log",
    "".join(
        f"I0101 10:00:{n:02d}.123456       1 controller.go:{n + 100}] Reconciled object retry={n} duration=0.{n} queue_len={n * 2}\n"
        for n in range(1, 20)
    ),
)
nothing(
    "readme results",
    "notes.txt",
    "# Results\n\n| Model | Top-1 | Params |\n|---|---|---|\n| R50 | 76.1 | 25.6M |\n| R101 | 77.4 | 44.5M |\n\nWe train for 300 epochs with lr 0.1 and weight decay 0.05. At step 1000 we decay.\n",
)
nothing(
    "source",
    "train.py.txt",
    "import torch\nfor epoch in range(10):\n    loss = 0.5\n    lr = 0.1\n    print(f'epoch {epoch} loss: {loss}')\nstep = 10\nacc = 0.5\nif step == 1: lr = 0.5\nif step == 2: lr = 0.4\nif step == 3: lr = 0.3\n",
)
nothing(
    "gdb",
    "bt.log",
    "".join(f"#{n}  0x00007f{n:08x} in step_{n} (x={n}, loss=0.{n}) at main.c:{n}\n" for n in range(1, 20)),
)
nothing(
    "svn",
    "git.log",
    "".join(
        f"commit {n:040x}\nAuthor: a <a@b.c>\nDate:   Mon Jan {n} 10:00:00 2023\n\n    step {n}: lower lr to 0.{n}\n\n 3 files changed, {n} insertions(+), {n} deletions(-)\n"
        for n in range(1, 12)
    ),
)
nothing("requirements-ish", "deps.txt", "torch==2.1.0\nnumpy==1.26\nscore==0.5\n")
nothing("labels", "data.txt", "".join(f"{n % 10} {n / 7:.4f} {n / 9:.4f} 0.12 0.34\n" for n in range(40)))
nothing(
    "ffmpeg",
    "ff.log",
    "".join(
        f"frame={n * 30:5d} fps={29 + n / 10:.1f} q=28.0 size=    {n * 256}kB time=00:00:{n:02d}.00 bitrate={n * 100}.2kbits/s speed=1.{n}x    \r"
        for n in range(1, 30)
    ),
)
nothing(
    "etcd",
    "etcd.log",
    "".join(
        json.dumps(
            {
                "level": "info",
                "ts": f"2023-01-01T10:00:{n:02d}",
                "caller": "mvcc/index.go:214",
                "msg": "compact tree index",
                "revision": n * 1000,
                "took": "1.2ms",
            }
        )
        + "\n"
        for n in range(1, 30)
    ),
)
nothing(
    "prometheus",
    "metrics.txt",
    "# HELP http_requests_total total\n# TYPE http_requests_total counter\n"
    + "".join(f'http_requests_total{{code="{n}",step="{n}"}} {n * 10}\n' for n in range(1, 30)),
)
nothing(
    "sar",
    "sar.log",
    "10:00:01 AM     CPU     %user     %nice   %system   %iowait\n"
    + "".join(f"10:0{n}:01 AM     all     1{n}.12      0.00      2.{n}      0.1\n" for n in range(1, 9)),
)
nothing(
    "wandb debug",
    "debug.log",
    "".join(
        f"2023-01-01 10:00:{n:02d},123 INFO    MainThread:{n} [wandb_run.py:_on_init():{n}] step {n} loss: 0.{n}\n"
        for n in range(10, 20)
    ),
)
style(
    "batches within an epoch header",
    "own.log",
    "".join(
        f"=== Epoch {e} of 2 ===\n"
        + "".join(f"  batch   {b}/200  loss={3 - e - b / 1000:.4f}\n" for b in (50, 100, 200))
        + f"  -> mean train loss: {3 - e}.5\n  -> validation: loss=1.{e} acc=0.{e} (best so far)\n"
        for e in (1, 2)
    ),
    {
        "loss": (6, (50, 1.95), (400, 0.8)),
        "mean train loss": (2, (1, 2.5), (2, 1.5)),
        "val/loss": (2, (1, 1.1), (2, 1.2)),
    },
)
style(
    "bars of any kind between values",
    "boxes.log",
    "".join(f" Epoch {e}/3 ┃ loss 0.9{e} ┃ val 0.8{e} ┃ acc 5{e}.1% ┃ 3.2s/epoch\n" for e in (1, 2, 3)),
    {"loss": (3, (1, 0.91), (3, 0.93)), "val": (3, (1, 0.81), (3, 0.83)), "acc": (3, (1, 51.1), (3, 53.1))},
    status="finished",
)
style(
    "zap with nested fields",
    "zap.json.log",
    "".join(
        f'{{"level":"info","ts":"2024-05-05T10:00:0{n}Z","msg":"train","fields":{{"step":{n},"loss":{3 - n}.5}}}}\n'
        for n in (0, 1, 2)
    ),
    {"loss": (3, (0, 3.5), (2, 1.5))},
)
style(
    "rust tracing with thousands",
    "rust.log",
    "".join(
        f"2024-05-05T10:00:0{n}.123Z INFO train::trainer: step complete step={n} loss={3 - n}.5 tokens_per_sec=12{n}k\n"
        for n in (0, 1, 2)
    ),
    {"loss": (3, (0, 3.5), (2, 1.5)), "tokens_per_sec": (3, (0, 120000.0), (2, 122000.0))},
)
style(
    "marian without @",
    "train.marian.log",
    "".join(
        f"[2020-05-05 10:0{n}:00] Ep. 1 : Up. {n}00 : Sen. 32,000 : Cost {9 - n}.5 * 800,500 after 1,100,000 : "
        f"Time 20.13s : 40012.33 words/s : gNorm 1.2{n}\n"
        for n in (1, 2, 3)
    ),
    {"Cost": (3, (100, 8.5), (300, 6.5)), "gNorm": (3, (100, 1.21), (300, 1.23))},
)
style(
    "fasttext",
    "fasttext.log",
    "Read 0M words\nNumber of words:  14543\n"
    + "".join(
        f"\rProgress:  {n}0.0% words/sec/thread:   600{n}0 lr:  0.0{9 - n} avg.loss:  {9 - n}.5 ETA:   0h 0m 9s"
        for n in (1, 2, 3)
    )
    + "\n",
    {"avg.loss": (3, (None, 8.5), (None, 6.5)), "lr": (3, (None, 0.08), (None, 0.06))},
)
style(
    "lists with a name",
    "dice.txt",
    "".join(f"Epoch {e}\nPseudo dice [0.{e}1, 0.{e}2]\nEpoch time: 5{e}.1 s\n" for e in range(4)),
    {"Pseudo dice/1": (4, (0, 0.02), (3, 0.32)), "Epoch time": (4, (0, 50.1), (3, 53.1))},
)
style(
    "composer shows names",
    "llmfoundry.log",
    "".join(
        f"[batch={n}/50]:\n\t Train loss/train/total: {9 - n}.5\n\t Train lr-AdamW/group0: 1e-0{n}\n" for n in (1, 2, 3)
    ),
    {"loss/train/total": (3, (1, 8.5), (3, 6.5)), "lr-AdamW/group0": (3, (1, 0.1), (3, 0.001))},
)
