"""A small tokenizer of our own: words, pairs of digits, and what stands between them, so that copying is copying.

A value is the same tokens in the document and in the answer: a space belongs to the word after it only within a value,
never after a colon, a quote or a mark of the form; so what follows a token in one is what follows it in the other.
"""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END, PAD = "<end>", "<pad>"
_PIECES = Regex(r"(?<=[A-Za-z\d]) (?:[A-Za-z]+|\d{1,2})|[A-Za-z]+|\d{1,2}|[^A-Za-z\d]+")


def train_tokenizer(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """Return a byte-pair tokenizer of at most `size` tokens, trained on texts; the same texts give the same tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_PIECES, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD)
