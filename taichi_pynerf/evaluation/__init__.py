"""How good a model is: PSNR, SSIM and LPIPS over a dataset."""

from taichi_pynerf.evaluation.evaluation import evaluate

__all__ = ["evaluate"]
