"""Evaluation of a model: PSNR, SSIM and LPIPS over a dataset."""

from taichi_pynerf.evaluation.evaluation import evaluate

__all__ = ["evaluate"]
