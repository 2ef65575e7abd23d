"""Where training stands within a phase: epochs, the best validation, when to stop; plain numbers that are saved."""

from __future__ import annotations

from dataclasses import dataclass

from crossrec.train.settings import TrainConfig


@dataclass
class Progress:
    """Epochs done in a phase and what validation said of them."""

    phase: int = 0
    epoch: int = 0
    best: float = float("-inf")
    """The best value of the metric; an error's with its sign turned, so that higher is better."""
    best_epoch: int = 0
    since_best: int = 0
    """Validations since the best one."""
    finished: bool = False

    def validated(self, value: float, config: TrainConfig) -> bool:
        """Take in a validation, higher is better; True where it is at least as good as the best."""
        if value >= self.best:
            self.best, self.best_epoch, self.since_best = value, self.epoch, 0
            return True
        self.since_best += 1
        self.finished = self.since_best >= config.patience and self.epoch >= config.min_epochs
        return False

    def is_due(self, config: TrainConfig) -> bool:
        """Whether this epoch is followed by a validation; the last one always is."""
        due = self.epoch >= config.first_eval and (self.epoch - config.first_eval) % config.eval_every == 0
        return due or self.epoch == config.epochs
