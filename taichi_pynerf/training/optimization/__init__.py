"""How weights change from step to step: optimizers, schedules, and the mean at the end."""
