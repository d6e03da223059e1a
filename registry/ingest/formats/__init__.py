"""Every format, one small file each. The order is the order in which a line is offered to them."""

from registry.ingest.formats import (
    deepspeed,
    fairseq,
    house_styles,
    keras,
    key_tables,
    megatron,
    meters,
    mllog,
    nanogpt,
    olmo,
    openmmlab,
    paddle,
    steps,
    trainer_block,
    ultralytics_console,
    word_tables,
)
from registry.ingest.grammar import LineFormat

LINE_FORMATS: tuple[LineFormat, ...] = (
    mllog.FORMAT,
    steps.FORMAT,
    olmo.FORMAT,
    deepspeed.FORMAT,
    paddle.FORMAT,
    openmmlab.FORMAT,
    meters.FORMAT,
    megatron.FORMAT,
    fairseq.FORMAT,
    nanogpt.FORMAT,
    house_styles.MARIAN,
    house_styles.ESPNET,
    house_styles.DARKNET,
    house_styles.CAFFE,
    house_styles.TENSORFLOW,
    house_styles.TRAX,
    house_styles.TACOTRON,
    house_styles.KALDI,
    house_styles.FASTTEXT,
    trainer_block.FORMAT,
    ultralytics_console.FORMAT,
    keras.FORMAT,
    key_tables.FORMAT,
    word_tables.FORMAT,
)
"""Text formats that know their lines for certain; what none of them takes goes through the generic layer."""
