"""From a weight file back to a repairer: the file itself says which model it holds and how large that is."""

from pathlib import Path

from registry.errors import HoldfastError, UsageError
from runners.json_repair.denoiser import Denoiser, DenoiserRepairer
from runners.json_repair.repair import Repairer
from runners.json_repair.settings import Settings
from runners.json_repair.tagger import Tagger, repairer_of
from runners.training import settings as settings_module
from runners.training.checkpoints import load_weights


def load_repairer(path: Path) -> Repairer:
    """Return the repairer in a weight file of this family.

    Raises NotFoundError for no such file, HoldfastError when it holds another model.
    """
    tensors, about = load_weights(path)
    if about.get("family") != "json_repair":
        raise HoldfastError(f"{path} holds no JSON repair model", hint="give a checkpoint of the family json_repair")
    try:
        settings = settings_module.build(Settings, about["settings"])
        size = (settings.width, settings.layers, settings.heads)
        model = Tagger(*size) if settings.model == "tagger" else Denoiser(*size)
        model.load_state_dict(tensors)
    except (RuntimeError, KeyError, UsageError) as error:
        reason = str(error).splitlines()[0]
        raise HoldfastError(f"{path} was made by another version of this family: {reason}", hint="train anew") from None
    if isinstance(model, Tagger):
        return repairer_of(model)
    passes = settings.passes if settings.model == "iterative" else 1
    return DenoiserRepairer(settings.model, model.eval(), settings.max_tokens, passes)
