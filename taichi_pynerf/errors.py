"""The errors a user can cause. Apps print them as one line and exit with status 2."""


class UserError(ValueError):
    """Something the user gave is wrong; the message names it and says what to do."""


class ConfigError(UserError):
    """A setting has a wrong value or does not fit the others."""


class SceneError(UserError):
    """A scene folder, one of its files or one of its values cannot be used."""


class CameraError(UserError):
    """A camera's pose, focal length or size cannot be used."""


class CheckpointError(UserError):
    """A checkpoint file cannot be read or does not fit."""


class BackendError(UserError):
    """The Taichi backend that was asked for is not available."""


class TrainingError(UserError):
    """Training cannot go on, for example because the loss is not finite."""


class MissingPackageError(UserError):
    """An optional package is not installed."""


class RunFolderError(UserError):
    """A run folder cannot be used now."""


class Notice(UserWarning):
    """A one-line notice for the user that does not stop the program."""


class SceneWarning(Notice):
    """A part of a scene was left out or adapted; the message says which."""


class RunWarning(Notice):
    """A file of a run could not be written; training goes on."""


class DisplayError(UserError):
    """There is no screen, or no driver, to show a window with."""
