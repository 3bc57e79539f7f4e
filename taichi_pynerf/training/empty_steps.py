"""Stopping a training whose rays meet nothing."""

from taichi_pynerf.errors import TrainingError

MOST_EMPTY_STEPS = 100  # steps in a row without a single sample that end a training


class EmptySteps:
    """Counts the steps in a row in which no ray met anything."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def count(self, num_samples: int, step: int) -> None:
        """Take one more step into account.

        Args:
            num_samples: samples of the step, of all workers together.
            step: number of the step, for the message.

        Raises:
            TrainingError: there have been `MOST_EMPTY_STEPS` empty ones in a row.
        """
        self._in_a_row = 0 if num_samples else self._in_a_row + 1
        if self._in_a_row >= MOST_EMPTY_STEPS:
            raise TrainingError(
                f"no ray has met anything for {MOST_EMPTY_STEPS} steps, up to step {step}: the "
                "cameras do not look into the scene box (pynerf-inspect draws both; --aabb and "
                "--scene_scale change it), or the field is empty (lower --learning_rate)"
            )
