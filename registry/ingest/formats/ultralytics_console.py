"""Ultralytics' console: a row an epoch under its header, then the validation's `all` row."""

import re

from registry.ingest.grammar import LineFormat
from registry.ingest.numbers import to_number
from registry.ingest.records import Line, Record, State, Values

_HEADER = re.compile(
    r"\s*Epoch\s+(?:GPU_mem|gpu_mem)\s+(.+?)\s+(?:Instances|labels|targets)\s+(?:Size|img_size)\s*", re.IGNORECASE
)
_ROW = re.compile(r"\s*(\d{1,18})/(\d{1,18})\s+[\d.]+[GMK]?\s+((?:[-+.\dnaife]+\s+){1,12})\d+\s+\d+: 100%")
_OLD_ROW = re.compile(r"\s*(\d{1,18})/(\d{1,18})\s+[\d.]+G((?:\s+[-+.\dnaife]+){13})\s*")
_OLD = (
    "train/box_loss", "train/obj_loss", "train/cls_loss", "train/total_loss", "labels", "img_size",
    "metrics/precision", "metrics/recall", "metrics/mAP_0.5", "metrics/mAP_0.5:0.95",
    "val/box_loss", "val/obj_loss", "val/cls_loss",
)  # fmt: skip
_CLASSES = re.compile(r"\s*Class\s+Images\s+(?:Instances|Labels|Targets)\s+(\S+)", re.IGNORECASE)
_ALL = re.compile(r"\s*all\s+\d+\s+\d+\s+((?:[-+.\dnaife]{1,20}(?:\s+|$)){4,12})")
_EVAL = ("metrics/precision(B)", "metrics/recall(B)", "metrics/mAP50(B)", "metrics/mAP50-95(B)")
_MASK = ("metrics/precision(M)", "metrics/recall(M)", "metrics/mAP50(M)", "metrics/mAP50-95(M)")


def feed(state: State, line: Line) -> list[Record] | None:
    """Return an epoch's losses at the last redraw of its bar, and its validation."""
    kept = state.get("ultralytics")
    if found := _OLD_ROW.fullmatch(line.raw):
        cells = [to_number(cell) for cell in found[3].split()]
        values = {name: number for name, number in zip(_OLD, cells, strict=True) if number is not None and "/" in name}
        return [Values(line.offset, values, int(found[1]), line.at, "epoch")]
    if found := _HEADER.fullmatch(line.raw):
        state["ultralytics"] = {"columns": found[1].split(), "epoch": None if kept is None else kept["epoch"]}
        return []
    if kept is None:
        return None
    if found := _CLASSES.match(line.raw):
        kept["plain"] = not found[1].startswith(("Box", "Mask", "Pose"))
        return None
    if found := _ROW.match(line.raw):
        if kept["epoch"] == int(found[1]):
            return []
        kept["epoch"] = int(found[1])
        cells = [to_number(cell) for cell in found[3].split()]
        pairs = zip(kept["columns"], cells, strict=False)
        values = {f"train/{name}": number for name, number in pairs if number is not None}
        return [Values(line.offset, values, kept["epoch"], line.at, "epoch")]
    if kept["epoch"] is not None and (found := _ALL.fullmatch(line.raw)):
        cells = [to_number(cell) for cell in found[1].split()]
        names = tuple(name[:-3] for name in _EVAL) if kept.get("plain") else _EVAL + _MASK
        values = {name: number for name, number in zip(names, cells, strict=False) if number is not None}
        return [Values(line.offset, values, kept["epoch"], line.at, "epoch")]
    return None


FORMAT = LineFormat(
    name="ultralytics console",
    hints=("mem ", "100%", " all ", "G   ", " Class "),
    feed=feed,
    files="*.log",
    example="        1/3      2.31G      1.152      1.478      1.182        122        640: 100%|██| 8/8 [00:05<…]",
    step="epoch",
    end="`N epochs completed in …`",
)
