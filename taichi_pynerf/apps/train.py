"""Train a pyramid field: images with poses in, an anti-aliased radiance field out.

python apps/train.py                                  the built-in demo scene
python apps/train.py --data_dir data/nerf_synthetic/lego --multiscale
python apps/train.py --gui                            watch it in a window
python apps/train.py --web                            watch it in the browser
torchrun --nproc_per_node=2 apps/train.py …           several processes, a share of the rays each
"""

import argparse
import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from taichi_pynerf import PyNeRFConfig, runtime
from taichi_pynerf.apps.cli import Parser, command, run, word
from taichi_pynerf.apps.flags.scene import NAMES as PLACEMENT_FLAGS
from taichi_pynerf.apps.flags.scene import (
    add_placement_flags,
    exposure_of,
    holdout_of,
    placement_of,
)
from taichi_pynerf.apps.flags.settings import add_setting_flags, settings_given
from taichi_pynerf.apps.flags.web import add_web_flags, audience_of, check_web_flags
from taichi_pynerf.apps.training_report import report
from taichi_pynerf.data.datasets import Dataset
from taichi_pynerf.data.drawing.store import check_data_device
from taichi_pynerf.data.locating import FORMATS
from taichi_pynerf.errors import CheckpointError, ConfigError
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.presets import PRESETS
from taichi_pynerf.runs.checkpoint import (
    FILE_NAME,
    checkpoint_path,
    config_of,
    model_from_checkpoint,
    read_checkpoint,
)
from taichi_pynerf.runs.run_lock import run_folder_held
from taichi_pynerf.runs.runs import source_of
from taichi_pynerf.runs.scene_source import MULTISCALE, SceneSource
from taichi_pynerf.training.distributed import Workers, claim_device, join, launched_by_torchrun
from taichi_pynerf.training.log import require_tensorboard
from taichi_pynerf.training.setup import (
    DEMO_STEPS,
    check_memory,
    check_settings,
    clear_run_folder,
    fitted_preset,
    images_in_words,
    new_trainer,
    preset_for,
    stop_on_interrupt,
    with_limit,
    write_settings,
)
from taichi_pynerf.training.trainer import PyNeRFTrainer
from taichi_pynerf.viewer.ggui.display import require_display
from taichi_pynerf.viewer.ggui.window import Window
from taichi_pynerf.viewer.live import LiveTraining
from taichi_pynerf.viewer.viewer import Viewer
from taichi_pynerf.viewer.web.training import WebTraining


def build_parser() -> Parser:
    parser = Parser(description=__doc__)

    scene = parser.add_argument_group("scene")
    scene.add_argument(
        "--data_dir", help=f"scene folder; if absent, the demo scene, in {DEMO_STEPS} steps"
    )
    scene.add_argument("--dataset_type", choices=sorted(FORMATS), help="format (detected)")
    scene.add_argument(
        "--img_downscale",
        type=int,
        help="reduce images by this factor (1; images of more than 1600 pixels are halved until "
        "they have fewer)",
    )
    scene.add_argument(
        "--multiscale",
        action=argparse.BooleanOptionalAction,
        help="train and test at scales 1 to 1/8 (on for scenes with several scales; photographs "
        "are trained at all of them, unless --no-multiscale, and tested at full size)",
    )
    scene.add_argument(
        "--black_background",
        action="store_true",
        default=None,
        help="put transparent pixels on black instead of white",
    )
    add_placement_flags(scene)

    training = parser.add_argument_group("training")
    training.add_argument("--preset", choices=PRESETS, help="settings to start from (cpu or gpu)")
    training.add_argument(
        "--scale_schedule",
        help="with several scales: train from coarse to fine, for example 0:8,500:4,1000:1",
    )
    runtime.add_backend_flags(training)

    run_group = parser.add_argument_group("run")
    run_group.add_argument("--experiment_name", help="name of the run (the scene's name)")
    run_group.add_argument("--output_dir", help="where run folders are made (outputs)")
    run_group.add_argument(
        "--tensorboard",
        action=argparse.BooleanOptionalAction,
        help="log to RUN/tensorboard too (on where the extra [log] is installed)",
    )
    run_group.add_argument(
        "--gui", action="store_true", help="watch the training in a window (docs/viewer.md)"
    )
    add_web_flags(run_group, "watch the training in the browser")
    run_group.add_argument(
        "--resume", metavar="RUN_OR_FILE", help="continue a run with its settings and its scene"
    )
    add_setting_flags(parser)
    return parser


def main(argv: list[str]) -> None:
    args = build_parser().parse_args(argv)
    if args.gui and args.web:
        raise ConfigError("--gui and --web: choose one of them")
    if (args.gui or args.web) and launched_by_torchrun():
        flag = "--gui" if args.gui else "--web"
        raise ConfigError(f"{flag} works in a single process: start without torchrun")
    if args.gui:
        require_display()
    check_web_flags(args)
    claim_device()
    backend = runtime.start_backend(args)
    with contextlib.closing(join(backend)) as workers:
        train(args, backend, workers)


def train(args: argparse.Namespace, backend: str, workers: Workers) -> None:
    """Train as one of the workers; only the first one writes files and shows progress."""
    if args.resume:
        path = checkpoint_path(args.resume)
        run_dir, is_there = path.parent, path.is_file()
    else:
        run_dir, is_there = new_run_dir(args), True
    if workers.first and is_there:
        with run_folder_held(run_dir) as make_folder:
            train_in(run_dir, args, backend, workers, make_folder)
    else:
        train_in(run_dir, args, backend, workers)


def train_in(
    run_dir: Path,
    args: argparse.Namespace,
    backend: str,
    workers: Workers,
    make_folder: Callable[[], None] = lambda: None,
) -> None:
    """Train in a run folder; `make_folder` is called before the first file is written."""
    device, resumed = runtime.torch_device(), None
    if args.tensorboard:
        require_tensorboard()
    if args.resume:
        resumed = read_checkpoint(args.resume)
        source, config = resumed_settings(args, resumed)
        check_resumed_file(args.resume)
        check_data_device(config.data_device, device)
    else:
        preset, settings = args.preset or preset_for(backend), new_settings(args)
        check_settings(preset, **settings)
        check_data_device(settings.get("data_device", "auto"), device)
        source = new_source(args)
        check_settings(preset, of_unbounded=source.files("train").unbounded, **settings)

    schedule = parse_schedule(args.scale_schedule, source) if args.scale_schedule else None
    train_set = source.load("train")
    val_set, test_set = source.load_or_none("val"), source.load_or_none("test")
    if not resumed:
        config = fitted_preset(preset, train_set, **settings)
    check_memory(config, device)
    model = model_from_checkpoint(resumed, args.resume) if resumed else PyNeRF(config)
    if workers.first:
        together = f", {workers.count} processes" if workers.count > 1 else ""
        print(
            f"{images_in_words(train_set)}; levels {' '.join(map(str, model.field.resolutions))}; "
            f"backend {backend}{together}; run {run_dir}"
        )

    trainer = new_trainer(
        model, config, train_set, val_set, source=source, scale_schedule=schedule,
        output_dir=run_dir, tensorboard=args.tensorboard, workers=workers,
    )  # fmt: skip
    if resumed:
        try:
            trainer.load_state_dict(resumed.get("training"))
        except CheckpointError as error:
            raise CheckpointError(f"{args.resume}: {error}") from None

    if not workers.first:
        with stop_on_interrupt(trainer):
            trainer.train()
        return

    # Nothing is written until all of the above has been checked.
    make_folder()
    train_and_report(args, trainer, source, test_set or val_set, run_dir, backend)


def train_and_report(
    args: argparse.Namespace,
    trainer: PyNeRFTrainer,
    source: SceneSource,
    tested: Dataset | None,
    run_dir: Path,
    backend: str,
) -> None:
    """Train in the run folder, save, test, and write pictures."""
    if args.resume:
        trainer.log.cut(trainer.step)
        if trainer.finished():
            print("the run has come to its end: give a greater --max_steps or --max_seconds")
    else:
        clear_run_folder(run_dir)
    write_settings(run_dir, trainer.config, source)

    live = watch(args, trainer, source, run_dir) if args.gui or args.web else None
    with stop_on_interrupt(trainer):
        trainer.train(on_step=live)
        checkpoint = trainer.save()
    if live is not None:
        live.finish()
    if trainer.stop_requested:
        print(f"stopped at step {trainer.step}; checkpoint: {checkpoint}")
        print(f"continue with:  {command('train')} --resume {word(run_dir)}")
        return
    report(trainer, tested, run_dir, backend)


def new_settings(args: argparse.Namespace) -> dict:
    """The settings that the command line gives for a new run."""
    return with_limit(settings_given(args), is_demo=args.data_dir is None)


def new_source(args: argparse.Namespace) -> SceneSource:
    """The scene of a new run, from the command line."""
    if args.img_downscale is not None and args.img_downscale < 1:
        raise ConfigError(f"--img_downscale is {args.img_downscale}: give a whole number from 1 on")
    source = SceneSource.fitted(
        args.data_dir,
        dataset_type=args.dataset_type,
        img_downscale=args.img_downscale,
        multiscale=args.multiscale,
        white_background=not args.black_background,
        placement=placement_of(args),
        allow_external_paths=bool(args.allow_external_paths),
        exposure=exposure_of(args),
        holdout=holdout_of(args),
        colmap_path=args.colmap_path,
    )
    k = source.img_downscale
    if args.img_downscale is None and k > 1:
        print(f"images are reduced by {k}, as if by --img_downscale {k}; 1 keeps them as they are")
    return source


def resumed_settings(args: argparse.Namespace, content: dict) -> tuple[SceneSource, PyNeRFConfig]:
    """Scene and settings of a resumed run: its own, but for its end and `data_device`."""
    fixed = (
        "dataset_type img_downscale multiscale black_background preset scale_schedule "
        "experiment_name output_dir"
    )
    changes = settings_given(args)
    flags = [*fixed.split(), *PLACEMENT_FLAGS]
    given = [name for name in flags if getattr(args, name) is not None]
    given = [f"--{name}" for name in given]
    given += [
        f"--{name}" if getattr(args, name, None) is not None else f"--set {name}"
        for name in changes
        if name not in ("max_steps", "max_seconds", "data_device", "skip_bad_steps")
    ]
    if given:
        raise ConfigError(
            f"{', '.join(given)} cannot change with --resume: a run keeps its settings"
        )
    config = config_of(content, args.resume)
    return source_of(content, args.resume, args.data_dir), config.replace(**with_limit(changes))


def parse_schedule(text: str, source: SceneSource) -> dict[int, int]:
    """{step: scale} of "0:8,500:4,1000:1"."""
    if not source.several_scales:
        raise ConfigError("--scale_schedule needs images at several scales: --multiscale")
    try:
        pairs = (part.split(":") for part in text.split(","))
        schedule = {int(step): int(scale) for step, scale in pairs}
    except ValueError:
        schedule = {}
    if 0 not in schedule or not set(schedule.values()) <= set(MULTISCALE):
        raise ConfigError(
            f"--scale_schedule {text}: write STEP:SCALE,… from step 0 on, with scales "
            f"{', '.join(map(str, MULTISCALE))}"
        )
    return schedule


def new_run_dir(args: argparse.Namespace) -> Path:
    """`output_dir/experiment_name`."""
    name = args.experiment_name
    if name is None:
        folder = Path(args.data_dir or "demo")
        name = (folder.parent if folder.is_file() else folder).resolve().name
    if name in ("", "..") or Path(name).name != name:
        raise ConfigError(f"--experiment_name {name!r}: give a plain folder name")
    return Path(args.output_dir or "outputs") / name


def check_resumed_file(run_or_file: str) -> None:
    """Refuse a checkpoint that would not be the one that its run goes on to write."""
    path = checkpoint_path(run_or_file)
    if path.name != FILE_NAME:
        raise CheckpointError(
            f"{path}: resuming would overwrite the {FILE_NAME} beside this file; put this "
            f"file as {FILE_NAME} into a new folder and resume that folder"
        )


def watch(
    args: argparse.Namespace, trainer: PyNeRFTrainer, source: SceneSource, run_dir: Path
) -> LiveTraining:
    """A window, or a page, that shows the training."""
    title = f"taichi_pynerf: {run_dir.name}"
    make_viewer = partial(Viewer, trainer.model, trainer.train_dataset, run_dir, trainer.save)
    if args.web:
        audience = audience_of(args, title, make_viewer, source)
        return WebTraining(audience, audience.server, trainer)
    print("watching: press H in the window for help; training continues when it is closed")
    return LiveTraining(make_viewer(), Window(title), trainer)


def start() -> None:
    """Run the program; errors that the user can mend are one line each."""
    run(main)


if __name__ == "__main__":
    start()
