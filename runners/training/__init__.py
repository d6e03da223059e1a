"""What every training family shares: settings, machine, loop, checkpoints. A family's `train.py` stays one flat script.

The order of a training: `settings.build` -> `start.start_family` (opens the run) -> the family's own `train(settings,
run, control)` -> `loop.Loop` (steps, checkpoints, best of run, stopping). Importing this package does not import torch.
"""
