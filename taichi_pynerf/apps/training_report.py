"""The end of a training: the test, `metrics.json`, pictures, and what to do next."""

from importlib.util import find_spec
from pathlib import Path

from taichi_pynerf import runtime
from taichi_pynerf.apps.cli import command, word
from taichi_pynerf.data.datasets import Dataset
from taichi_pynerf.evaluation.evaluation import MEANINGS, evaluate, metrics_for
from taichi_pynerf.files import atomic_write_text, json_text
from taichi_pynerf.rendering.preview import median_view, write_preview
from taichi_pynerf.training.log import FILE_NAME as LOG_NAME
from taichi_pynerf.training.log import write_curves
from taichi_pynerf.training.setup import dispensable
from taichi_pynerf.training.trainer import PyNeRFTrainer


def report(trainer: PyNeRFTrainer, dataset: Dataset | None, run_dir: Path, backend: str) -> None:
    """Test, write `metrics.json` and pictures, and say what to do next."""
    if find_spec("matplotlib") is not None and (run_dir / LOG_NAME).exists():
        with dispensable(run_dir / "curves.png"):
            write_curves(run_dir / LOG_NAME, run_dir / "curves.png")
    if dataset is None:
        print(f"no test images; checkpoint: {run_dir / 'checkpoint.pth'}")
        return
    model = trainer.model.eval()
    response, why = trainer.exposure_response()
    wanted = metrics_for(trainer.config, response)
    results = evaluate(model, dataset, metrics=wanted, progress=True)
    metrics = {
        dataset.split: results,
        "steps": trainer.step,
        "train_seconds": round(trainer.train_seconds, 3),
        "samples_per_second": round(trainer.num_samples / max(trainer.train_seconds, 1e-9), 1),
        "backend": backend,
        "device": runtime.device_name(),
        "seed": trainer.config.seed,
    }
    if trainer.colors is not None:
        metrics["meanings"] = {name: text for name, text in MEANINGS.items() if name in wanted}
        metrics["exif_exposure"] = (
            {"left_out": why} if response is None
            else {**response.to_dict(), "unknown": int(dataset.exposures.isnan().sum())}
        )  # fmt: skip
    motion = None if trainer.poses is None else trainer.poses.motion()
    if motion is not None:
        metrics["poses"] = motion
    with dispensable(run_dir / "metrics.json"):
        atomic_write_text(run_dir / "metrics.json", json_text(metrics, indent=2) + "\n")
    with dispensable(run_dir / "preview.png"):
        write_preview(model, dataset, run_dir / "preview.png", median_view(results["images"]))
    print(f"\n{dataset.split} images   PSNR [dB]   SSIM")
    for scale, values in results["scales"].items():
        print(f"  1/{scale:<9} {values['psnr']:9.2f}   {values['ssim']:.4f}")
    print(f"  {'mean':<11} {results['psnr']:9.2f}   {results['ssim']:.4f}")
    if "psnr_exif" in results:
        unknown = int(dataset.exposures.isnan().sum())
        print(
            f"  with the exposure that EXIF predicts ({why}): {results['psnr_exif']:.2f} dB, "
            f"{results['ssim_exif']:.4f}"
            + (f"; {unknown} of {len(dataset)} have none, and the mean exposure" if unknown else "")
        )
    elif trainer.colors is not None:
        print(f"  all with the mean exposure, EXIF says nothing: {why}")
    if "psnr_fitted" in results:
        print(
            "  right halves, with exposure and white balance fitted on the left ones: "
            f"{results['psnr_fitted']:.2f} dB, {results['ssim_fitted']:.4f}"
        )
    if trainer.poses is not None and motion is not None:
        print(
            f"cameras moved by {motion['shift_median']:.2g} and turned by "
            f"{motion['turn_median']:.2g} degrees in the median, by {motion['shift_greatest']:.2g} "
            f"and {motion['turn_greatest']:.2g} at most; the scene box is {trainer.poses.unit:g} "
            "wide"
        )
    print(
        f"{trainer.step} steps in {trainer.train_seconds:.0f} s; pictures: "
        f"{run_dir / 'preview.png'}; checkpoint: {run_dir / 'checkpoint.pth'}"
    )
    config = trainer.config
    more = f"--max_steps {2 * config.max_steps}"
    if config.max_seconds and trainer.step < config.max_steps:
        more = f"--max_seconds {2 * config.max_seconds:g}"
    print(f"continue with:  {command('train')} --resume {word(run_dir)} {more}")
